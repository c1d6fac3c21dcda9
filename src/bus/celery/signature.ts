/**
 * Celery's signatures: what a call wants done after it, as JSON has it. https://docs.celeryq.dev/en/stable/userguide/canvas.html
 * Who made them has given an id to each whose result may be waited for. Read, and refused, before anything is handled.
 */
import { CodecError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'
import { countIn, type Fields, isRecord, listIn, recordIn, secondsIn, textIn, timeIn, toMs, unexpected } from './fields.ts'
import type { Kwargs } from './task.ts'

export interface TaskSignature {
  readonly kind: 'task'
  readonly name: string
  readonly args: readonly unknown[]
  readonly kwargs: Kwargs
  /** Takes nothing from the task before it. */
  readonly immutable: boolean
  /** The rest of its chain, the last first, as it is sent with it. */
  readonly chain: readonly unknown[]
  readonly options: SignatureOptions
}

/** Its members are sent at once. */
export interface GroupSignature {
  readonly kind: 'group'
  readonly id: string | undefined
  readonly members: readonly Signature[]
}

export type Signature = TaskSignature | GroupSignature

/** What `apply_async` is told. */
export interface SignatureOptions {
  readonly id: string | undefined
  readonly queue: string | undefined
  readonly exchange: string | undefined
  readonly routingKey: string | undefined
  readonly replyTo: string | undefined
  readonly groupId: string | undefined
  readonly groupIndex: number | undefined
  readonly shadow: string | undefined
  readonly priority: number | undefined
  /** From when it is sent on. Milliseconds. */
  readonly countdownMs: number | undefined
  readonly expiresMs: number | undefined
  /** Milliseconds since 1970. */
  readonly eta: number | undefined
  readonly expires: number | undefined
  readonly timeLimits: readonly [hard: number | undefined, soft: number | undefined]
  readonly ignoreResult: boolean
  /** Signatures again, for whoever runs it. */
  readonly callbacks: readonly unknown[]
  readonly errbacks: readonly unknown[]
  readonly chord: unknown
  readonly headers: Headers
}

/** Throws `CodecError` for what is none, or is more than can be sent from here. */
export function signatureIn(value: unknown, subject: string): Signature {
  const name = isRecord(value) ? value['task'] : undefined
  if (!isRecord(value) || typeof name !== 'string' || name === '') throw unexpected(subject, 'a signature, which names a task', value)
  const options = recordIn(value, 'options')
  const kwargs = recordIn(value, 'kwargs')
  switch (value['subtask_type']) {
    case 'group':
      return { kind: 'group', id: textIn(options, 'task_id'), members: listIn(kwargs, 'tasks').map((task) => signatureIn(task, subject)) }
    case 'chain':
      return chainIn(listIn(kwargs, 'tasks').toReversed(), subject)
    case 'chord':
      throw new CodecError(`A chord in the ${subject} of a Celery task cannot be begun here: let a task in Python do so`)
    default:
      return {
        kind: 'task',
        name,
        args: listIn(value, 'args'),
        kwargs,
        immutable: value['immutable'] === true,
        chain: [],
        options: optionsIn(options),
      }
  }
}

/**
 * The first task of a chain, with the rest to be sent with it; the last comes first, as in a message. Throws `CodecError`.
 * Celery makes a chord of a group that is not the last, unless the chain is inside of another signature: such a one cannot be sent from here.
 */
export function chainIn(steps: readonly unknown[], subject: string): Signature {
  const read = steps.map((step) => signatureIn(step, subject))
  const first = read.at(-1)
  const isSimple = read.slice(1).every((step) => step.kind === 'task' && step.chain.length === 0)
  if (first === undefined || !isSimple) throw unexpected(subject, 'a chain of tasks, with a group at most at its end', steps.toReversed())
  return first.kind === 'task' ? { ...first, chain: steps.slice(0, -1) } : first
}

function optionsIn(options: Fields): SignatureOptions {
  const seconds = (name: string): number | undefined => toMs(secondsIn(options, name))
  const isExpiresRelative = typeof options['expires'] === 'number'
  const stamped = listIn(options, 'stamped_headers').map(String)
  return {
    id: textIn(options, 'task_id'),
    queue: textIn(options, 'queue'),
    exchange: textIn(options, 'exchange'),
    routingKey: textIn(options, 'routing_key'),
    replyTo: textIn(options, 'reply_to'),
    groupId: textIn(options, 'group_id'),
    groupIndex: countIn(options, 'group_index'),
    shadow: textIn(options, 'shadow'),
    priority: countIn(options, 'priority'),
    countdownMs: seconds('countdown'),
    expiresMs: isExpiresRelative ? seconds('expires') : undefined,
    eta: timeIn(options, 'eta'),
    expires: isExpiresRelative ? undefined : timeIn(options, 'expires'),
    timeLimits: [secondsIn(options, 'time_limit'), secondsIn(options, 'soft_time_limit')],
    ignoreResult: options['ignore_result'] === true,
    callbacks: manyIn(options, 'link'),
    errbacks: manyIn(options, 'link_error'),
    chord: options['chord'] ?? null,
    headers: {
      ...(recordIn(options, 'headers') as Headers),
      ...(stamped.length > 0 && {
        stamped_headers: stamped,
        stamps: Object.fromEntries(stamped.map((name) => [name, options[name]])) as Headers,
      }),
    },
  }
}

/** Every task of it, with the rest of its chain, that somebody may wait for. */
export function tasksOf(signature: Signature): readonly TaskSignature[] {
  if (signature.kind === 'group') return signature.members.flatMap(tasksOf)
  return [signature, ...signature.chain.flatMap((step) => tasksOf(signatureIn(step, 'chain')))]
}

/** One is as good as a list of one. */
const manyIn = (options: Fields, name: string): readonly unknown[] => (isRecord(options[name]) ? [options[name]] : listIn(options, name))
