/** Queues and exchanges as texts that are compared, and that the scripts read. */
import type { Exchange, Queue } from '../../core/entities.ts'
import { TopologyError, UnsupportedError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'

/** Where the scripts look for an argument; undefined for those that mean nothing here. */
const queueArguments: Readonly<Record<string, string | undefined>> = {
  'x-queue-type': undefined,
  // A dead letter is moved by one script after the other, and is always in one place.
  'x-dead-letter-strategy': undefined,
  'x-message-ttl': 'ttl',
  'x-expires': 'expires',
  'x-max-length': 'maxLength',
  'x-overflow': 'overflow',
  'x-max-priority': 'maxPriority',
  'x-single-active-consumer': 'single',
  'x-dead-letter-exchange': 'deadLetterExchange',
  'x-dead-letter-routing-key': 'deadLetterKey',
}

/** Throws `UnsupportedError` for an argument that Redis cannot keep. */
export function exchangeDefinition({ name, type, durable, autoDelete, arguments: given }: Exchange): string {
  refuseOthers(`exchange "${name}"`, given, [])
  return JSON.stringify({ type, durable, autoDelete, arguments: sorted(given) })
}

/** `owner` is the session that an exclusive queue is for. Throws `UnsupportedError` as above. */
export function queueDefinition(name: string, queue: Queue, owner: string): string {
  const { durable, exclusive, autoDelete, arguments: given } = queue
  refuseOthers(`queue "${name}"`, given, Object.keys(queueArguments))
  const overflow = given['x-overflow']
  if (overflow !== undefined && overflow !== 'drop-head' && overflow !== 'reject-publish') {
    throw new UnsupportedError(`Redis cannot keep queue "${name}" with x-overflow "${String(overflow)}"`)
  }
  const read = Object.entries(given).flatMap(([key, value]) => {
    const field = queueArguments[key]
    return field === undefined ? [] : [[field, value]]
  })
  return JSON.stringify({
    durable,
    exclusive,
    autoDelete,
    arguments: sorted(given),
    ...Object.fromEntries(read),
    ...(exclusive ? { owner } : {}),
  })
}

/** What to tell who declared `wanted` where `there` exists. */
export function differs(what: string, there: string, wanted: string): TopologyError {
  const [found, asked] = [JSON.parse(there) as Definition, JSON.parse(wanted) as Definition]
  const fields = (['type', 'durable', 'exclusive', 'autoDelete'] as const).filter((field) => found[field] !== asked[field])
  const names = [...new Set([...Object.keys(found.arguments), ...Object.keys(asked.arguments)])]
  const [argument] = names.filter((name) => JSON.stringify(found.arguments[name]) !== JSON.stringify(asked.arguments[name]))
  const name = fields[0] ?? argument
  const value = (of: Definition): string => JSON.stringify(fields[0] ? of[fields[0]] : of.arguments[argument ?? '']) ?? 'none'
  return new TopologyError(
    `Declaring ${what} was refused: it exists with other arguments: ${name} is ${value(found)} there and ${value(asked)} here (406)`,
    406,
    { argument: name },
  )
}

interface Definition {
  readonly type?: string
  readonly durable: boolean
  readonly exclusive?: boolean
  readonly autoDelete: boolean
  readonly arguments: Readonly<Record<string, unknown>>
}

function refuseOthers(what: string, given: Headers, known: readonly string[]): void {
  const other = Object.keys(given).find((key) => !known.includes(key))
  if (other !== undefined) throw new UnsupportedError(`Redis cannot keep ${what} with the argument ${other}`)
}

const sorted = (given: Headers): Headers => Object.fromEntries(Object.entries(given).toSorted(([a], [b]) => (a < b ? -1 : 1)))
