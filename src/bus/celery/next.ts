/** What Celery's workers do when a task is over: they send what its call wants done next. */
import { systemClock } from '../../core/clock.ts'
import { PublishError } from '../../core/errors.ts'
import { derivedId } from '../envelope.ts'
import { Final } from '../outcome.ts'
import { type AnswerWays, PUT_MS, storeOf } from './answer.ts'
import type { TaskCall } from './message.ts'
import { callMessage } from './outgoing.ts'
import type { ChordSignature, Signature, TaskSignature } from './signature.ts'

/** How a task that comes next gets to its queue. */
export interface NextWays extends AnswerWays {
  /** Who sends. */
  readonly source: string
  /** What is served here. */
  readonly definition: { readonly queue: { readonly name: string }; readonly handlers: readonly { readonly type: string }[] }
}

/** The task that is over. */
type Parent = Pick<TaskCall, 'id' | 'rootId'>

interface Sending {
  readonly parent: Parent
  /** Goes before its own arguments. */
  readonly given: unknown
  /** Why it is sent, for the id of one that has none: the same if the parent is handled again. */
  readonly reason: string
}

/** Where Celery looks for tasks whose queue nobody names. */
const DEFAULT_QUEUE = 'celery'

/** Resolves with the ids of what was sent, when the broker has it. Rejects with `Final` where a task's queue does not exist. */
export async function sendNext(ways: NextWays, signatures: readonly Signature[], sending: Sending): Promise<readonly string[]> {
  const ids: string[] = []
  for (const [i, signature] of signatures.entries()) {
    const more = { ...sending, reason: `${sending.reason} ${i}` }
    if (signature.kind === 'task') ids.push(await send(ways, signature, more))
    else if (signature.kind === 'group') ids.push(...(await sendNext(ways, inGroup(signature.members, signature.id), more)))
    else ids.push(...(await begin(ways, signature, more)))
  }
  return ids
}

/** Its header is what comes next; the body comes when the store has all results of the header. */
async function begin(ways: NextWays, { id, header, body, sentBody }: ChordSignature, sending: Sending): Promise<readonly string[]> {
  if (header.length === 0) return sendNext(ways, [body], { ...sending, given: [] })
  const group = id ?? derivedId(ways.definition.queue.name, sending.parent.id, sending.reason, 0)
  await storeOf(ways).expectParts(group, header.length, PUT_MS)
  return sendNext(
    ways,
    header.map((task, index) => withChord(task, { group, index, sentBody })),
    sending,
  )
}

/** With the last task of its chain, whose result counts. */
function withChord(task: TaskSignature, { group, index, sentBody }: { group: string; index: number; sentBody: unknown }): TaskSignature {
  const [last, ...steps] = task.chain
  if (last === undefined) return { ...task, options: { ...task.options, groupId: group, groupIndex: index, chord: sentBody } }
  const { options, ...step } = last as { readonly options?: object }
  return { ...task, chain: [{ ...step, options: { ...options, group_id: group, group_index: index, chord: sentBody } }, ...steps] }
}

/** Members know their group, and it their places. */
const inGroup = (members: readonly Signature[], groupId: string | undefined): readonly Signature[] =>
  members.map((member, i) =>
    member.kind !== 'task'
      ? member
      : {
          ...member,
          options: { ...member.options, groupId: member.options.groupId ?? groupId, groupIndex: member.options.groupIndex ?? i },
        },
  )

async function send({ connection, source, definition }: NextWays, signature: TaskSignature, sending: Sending): Promise<string> {
  const { name, args, kwargs, immutable, chain, options } = signature
  const { parent, given, reason } = sending
  const now = systemClock.wall()
  const from = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : now + ms)
  const id = options.id ?? derivedId(definition.queue.name, parent.id, reason, 0)
  const { body, properties } = callMessage({
    ...options,
    id,
    name,
    args: immutable ? args : [given, ...args],
    kwargs,
    origin: source,
    eta: from(options.countdownMs) ?? options.eta,
    expires: from(options.expiresMs) ?? options.expires,
    wanted: !options.ignoreResult,
    rootId: parent.rootId ?? parent.id,
    parentId: parent.id,
    chain,
  })
  const own = definition.handlers.some(({ type }) => type === name) ? definition.queue.name : DEFAULT_QUEUE
  const { exchange = '', routingKey = own } = options.queue === undefined ? options : { routingKey: options.queue }
  try {
    await connection.publish(exchange, routingKey, body, { ...properties, appId: source })
  } catch (error) {
    if (!(error instanceof PublishError && error.reason === 'unroutable')) throw error
    throw new Final('NextTaskError', `no queue "${routingKey}" for ${name}, which was to come next: has its worker ever run?`, {
      cause: error,
    })
  }
  return id
}
