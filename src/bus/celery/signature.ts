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
  /** The rest of its chain, the last first, as it is sent with it; and the same, read. */
  readonly chain: readonly unknown[]
  readonly steps: readonly Signature[]
  readonly options: SignatureOptions
}

/** Its members are sent at once. */
export interface GroupSignature {
  readonly kind: 'group'
  readonly id: string | undefined
  readonly members: readonly Signature[]
}

/** Its body is sent when all of its header are over. */
export interface ChordSignature {
  readonly kind: 'chord'
  readonly id: string | undefined
  readonly header: readonly TaskSignature[]
  /** With the rest of its chain. */
  readonly body: Signature
  /** The same as it is sent with each task of the header. */
  readonly sentBody: unknown
}

export type Signature = TaskSignature | GroupSignature | ChordSignature

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
  const chain = listIn(options, 'chain')
  switch (value['subtask_type']) {
    case 'group':
      if (chain.length > 0) throw unexpected(subject, 'a chain whose group is at its end', value)
      return { kind: 'group', id: textIn(options, 'task_id'), members: listIn(kwargs, 'tasks').map((task) => signatureIn(task, subject)) }
    case 'chain':
      return chainIn([...chain, ...listIn(kwargs, 'tasks').toReversed()], subject)
    case 'chord':
      return {
        kind: 'chord',
        id: textIn(options, 'task_id'),
        header: headerIn(kwargs['header'], subject),
        ...bodyIn(kwargs['body'], chain, subject),
      }
    default: {
      const immutable = value['immutable'] === true
      return {
        kind: 'task',
        name,
        args: listIn(value, 'args'),
        kwargs,
        immutable,
        chain,
        steps: stepsIn(chain, subject),
        options: optionsIn(options),
      }
    }
  }
}

/** The first step of a chain, with the rest behind it; the last comes first, as in a message. Throws `CodecError`. */
export const chainIn = (steps: readonly unknown[], subject: string): Signature =>
  signatureIn(withChain(steps.at(-1), steps.slice(0, -1)), subject)

function withChain(value: unknown, chain: readonly unknown[]): unknown {
  if (chain.length === 0 || !isRecord(value)) return value
  const options = recordIn(value, 'options')
  return { ...value, options: { ...options, chain: [...chain, ...listIn(options, 'chain')] } }
}

/** Celery makes a chord of a group that is not the last, unless the chain is inside of another signature: such a one cannot be sent from here. */
function stepsIn(chain: readonly unknown[], subject: string): readonly Signature[] {
  const steps = chain.map((step) => signatureIn(step, subject))
  const isSimple = steps.every((step, i) => (step.kind === 'task' ? step.steps.length === 0 : step.kind === 'chord' || i === 0))
  if (!isSimple) throw unexpected(subject, 'a chain of tasks, with a group at most at its end', chain.toReversed())
  return steps
}

function headerIn(header: unknown, subject: string): readonly TaskSignature[] {
  const members = (Array.isArray(header) ? header : [header]).flatMap((member) => membersOf(signatureIn(member, subject)))
  const tasks = members.filter((member) => member.kind === 'task' && member.steps.every(({ kind }) => kind === 'task'))
  if (tasks.length < members.length)
    throw new CodecError(
      `A chord in the ${subject} of a Celery task is of more than tasks and chains of tasks: let a task in Python begin it`,
    )
  return tasks as readonly TaskSignature[]
}

/** Groups inside of groups are one. */
const membersOf = (signature: Signature): readonly Signature[] =>
  signature.kind === 'group' ? signature.members.flatMap(membersOf) : [signature]

function bodyIn(body: unknown, chain: readonly unknown[], subject: string): Pick<ChordSignature, 'body' | 'sentBody'> {
  const sentBody = withChain(body, chain)
  return { body: signatureIn(sentBody, subject), sentBody }
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
    callbacks: readable(manyIn(options, 'link'), 'link'),
    errbacks: readable(manyIn(options, 'link_error'), 'link_error'),
    chord: readable([options['chord'] ?? null], 'chord')[0],
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
  if (signature.kind === 'chord') return tasksOf(signature.body)
  return [signature, ...signature.steps.flatMap(tasksOf)]
}

/** Refuses now what would be of no use when its time comes. */
function readable(signatures: readonly unknown[], subject: string): readonly unknown[] {
  for (const signature of signatures) if (signature !== null) signatureIn(signature, subject)
  return signatures
}

/** One is as good as a list of one. */
const manyIn = (options: Fields, name: string): readonly unknown[] => (isRecord(options[name]) ? [options[name]] : listIn(options, name))
