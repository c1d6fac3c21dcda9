/** What of a declaration SQS can keep, told before anything is asked of it. */
import type { Exchange, Queue } from '../../core/entities.ts'
import { TopologyError, UnsupportedError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'
import { show } from '../../core/options.ts'
import { writeJsonHeaders } from '../kit/json-headers.ts'
import type { WaitingQueue } from './directory.ts'
import { isFifo } from './names.ts'

/** Attributes for `CreateQueue`, as SQS names them: `RedrivePolicy`, `MessageRetentionPeriod`, … */
const ATTRIBUTES = 'sqs-attributes'

/** A FIFO queue hands out nothing of a group while a message of it is in hand, whoever asks. */
const IN_ORDER = 'x-single-active-consumer'

/** Kept by us, or without a meaning here. */
const KEPT = new Set([
  'x-queue-type',
  'x-overflow',
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-dead-letter-strategy',
  ATTRIBUTES,
])

const INSTEAD: Readonly<Record<string, string>> = {
  'x-message-ttl': `its queues have a retention period instead (argument ${ATTRIBUTES}: { MessageRetentionPeriod }), and drop without dead letters`,
  [IN_ORDER]: 'order is kept by a FIFO queue, whose name ends with .fifo',
  'x-expires': 'its queues stay until they are deleted',
  'x-max-priority': 'urgent messages need a queue of their own',
}

/** Throws `UnsupportedError` naming what it is. */
export function checkQueue(queue: Queue): void {
  const cannot = (what: string): UnsupportedError => new UnsupportedError(`Queue "${queue.name}" cannot be on SQS: ${what}`)
  if (queue.autoDelete) throw cannot('its queues stay when their last consumer goes, so autoDelete cannot be kept')
  const argument = Object.keys(queue.arguments).find((name) => !KEPT.has(name) && !(name === IN_ORDER && isFifo(queue.name)))
  if (argument !== undefined) throw cannot(`it has no ${argument}${INSTEAD[argument] === undefined ? '' : `; ${INSTEAD[argument]}`}`)
}

/** Throws `UnsupportedError`. */
export function checkExchange({ name, arguments: given }: Exchange): void {
  const argument = Object.keys(given)[0]
  if (argument !== undefined) throw new UnsupportedError(`Exchange "${name}" cannot be on SQS: the argument ${argument} cannot be kept`)
}

/** A queue whose messages only wait, to go on to one other: what retries are made of. Undefined for any other. */
export function waitingQueue(queue: Queue): WaitingQueue | undefined {
  const { 'x-message-ttl': ms, 'x-dead-letter-exchange': exchange, 'x-dead-letter-routing-key': target } = queue.arguments
  const others = Object.keys(queue.arguments).some((name) => name !== 'x-message-ttl' && !KEPT.has(name))
  if (typeof ms !== 'number' || exchange !== '' || typeof target !== 'string' || queue.bindings.length > 0 || others) return undefined
  return { target, ms }
}

/** Throws `TopologyError` 406 naming the first argument that differs. */
export function checkSame(name: string, existing: Headers, declared: Headers): void {
  const json = (headers: Headers, key: string): string => writeJsonHeaders({ value: headers[key] })
  const differs = [...new Set([...Object.keys(existing), ...Object.keys(declared)])].find(
    (key) => json(existing, key) !== json(declared, key),
  )
  if (differs === undefined) return
  throw new TopologyError(
    `Queue "${name}" exists with other arguments: ${differs} is ${show(existing[differs])}, declared as ${show(declared[differs])}`,
    406,
    { argument: differs },
  )
}

/** For `CreateQueue`. Throws `TopologyError` 406. */
export function attributesOf({ name, arguments: given }: Queue): Record<string, string> {
  const attributes = given[ATTRIBUTES] ?? {}
  if (typeof attributes === 'object' && !Array.isArray(attributes) && Object.values(attributes).every((value) => typeof value !== 'object'))
    return Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, String(value)]))
  throw new TopologyError(`Queue "${name}": the argument ${ATTRIBUTES} must be an object of texts and numbers`, 406, {
    argument: ATTRIBUTES,
  })
}
