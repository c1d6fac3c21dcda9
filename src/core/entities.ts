/** Exchanges, queues and bindings as plain frozen data: the same declaration serves every side and every transport. */
import { ConfigError } from './errors.ts'
import type { Headers } from './message.ts'
import { flag, instance, list, oneOf, readOptions, text, whole } from './options.ts'

export type ExchangeType = 'direct' | 'topic' | 'fanout' | 'headers'

export interface Exchange {
  readonly kind: 'exchange'
  readonly name: string
  readonly type: ExchangeType
  /** Survives a restart of the broker. */
  readonly durable: boolean
  /** Deleted when its last binding goes. */
  readonly autoDelete: boolean
  /** Broker-specific arguments, passed through unchanged (`alternate-exchange`, …). */
  readonly arguments: Headers
}

/** Anything that says where messages come from: a binding, or an event (its exchange and its type). */
export interface BindingSource {
  readonly exchange: Exchange
  readonly routingKey: string
}

export interface Binding extends BindingSource {
  readonly kind: 'binding'
  readonly arguments: Headers
}

export type QueueType = 'quorum' | 'classic'

export interface Queue {
  readonly kind: 'queue'
  /** '' asks the broker for a name. */
  readonly name: string
  /**
   * How RabbitMQ keeps it. Quorum queues wait for the disk before they confirm, and count deliveries.
   * The built-in broker always does both.
   */
  readonly type: QueueType
  readonly durable: boolean
  /** Used by the declaring connection alone and deleted with it. */
  readonly exclusive: boolean
  /** Deleted when its last consumer goes. */
  readonly autoDelete: boolean
  readonly bindings: readonly Binding[]
  /** All arguments as they go on the wire, those made from options included. */
  readonly arguments: Headers
}

export interface ExchangeOptions {
  /** @default 'direct' */
  type?: ExchangeType
  /** @default true */
  durable?: boolean
  /** @default false */
  autoDelete?: boolean
  arguments?: Headers
}

export interface QueueOptions {
  /**
   * @default 'quorum', or 'classic' where RabbitMQ has no quorum queue for it: server-named, transient, exclusive,
   * auto-delete, or with `maxPriority`. A queue shared with Kombu's own declaration must say 'classic'.
   */
  type?: QueueType
  /** @default true, but false for an exclusive or server-named queue */
  durable?: boolean
  /** @default false, but true for a server-named queue */
  exclusive?: boolean
  /** @default false */
  autoDelete?: boolean
  /** Where its messages come from, with the arguments of `bind`. */
  bindings?: readonly Binding[]
  /** The same for events, and for anything else with an exchange and a routing key. */
  listensTo?: readonly BindingSource[]
  /** Messages that waited longer are dropped or dead-lettered. Milliseconds. */
  messageTtlMs?: number
  /** The queue is deleted when unused for this long. Milliseconds, from 1. */
  expiresMs?: number
  maxLength?: number
  maxLengthBytes?: number
  /** What happens beyond the maximum. @default the broker's: 'drop-head' */
  overflow?: 'drop-head' | 'reject-publish'
  /** 1 to 255; makes it a priority queue. */
  maxPriority?: number
  /** Only one consumer gets messages, the next when it has gone; with `concurrency: 1` their order is kept. @default false */
  singleActiveConsumer?: boolean
  /** The broker moves rejected and expired messages there. For `consume`'s own dead letters see `deadLetter`. */
  deadLetterExchange?: Exchange | string
  deadLetterRoutingKey?: string
  arguments?: Headers
}

export const isExchange = (value: unknown): value is Exchange => hasKind(value, 'exchange')
const isBinding = (value: unknown): value is Binding => hasKind(value, 'binding')
export const isQueue = (value: unknown): value is Queue => hasKind(value, 'queue')

const headersField = instance<Headers>('an object of arguments', (value): value is Headers => typeof value === 'object' && value !== null)
const bindingField = instance<Binding>('a binding made by bind()', isBinding)
const sourceField = instance<BindingSource>(
  'an event, or a binding made by bind()',
  (value): value is BindingSource => typeof value === 'object' && value !== null && 'exchange' in value && isExchange(value.exchange),
)

/** An exchange. Names are at most 255 bytes; `amq.` belongs to the broker. Throws `ConfigError`. */
export function exchange(name: string, options: ExchangeOptions = {}): Exchange {
  const subject = `exchange("${name}")`
  checkName(subject, name)
  const read = readOptions<ExchangeOptions>(
    subject,
    {
      type: oneOf(['direct', 'topic', 'fanout', 'headers'], 'direct'),
      durable: flag(true),
      autoDelete: flag(false),
      arguments: headersField,
    },
    options,
  )
  const { type = 'direct', durable = true, autoDelete = false } = read
  return Object.freeze({ kind: 'exchange', name, type, durable, autoDelete, arguments: Object.freeze({ ...read.arguments }) })
}

/** The exchange every queue is bound to by its own name. */
export const defaultExchange: Exchange = Object.freeze({
  kind: 'exchange',
  name: '',
  type: 'direct',
  durable: true,
  autoDelete: false,
  arguments: Object.freeze({}),
})

/** A binding: messages of `source` whose routing key fits. In a topic pattern `*` is one word and `#` any number. */
export function bind(source: Exchange, routingKey = '', bindingArguments: Headers = {}): Binding {
  if (!isExchange(source))
    throw new ConfigError('bind()', [{ path: 'source', expected: 'an exchange made by exchange()', got: String(source) }])
  return Object.freeze({ kind: 'binding', exchange: source, routingKey, arguments: Object.freeze({ ...bindingArguments }) })
}

/** A queue. Throws `ConfigError` with every problem found. */
export function queue(name: string, options: QueueOptions = {}): Queue {
  const subject = `queue("${name}")`
  checkName(subject, name)
  const read = readOptions<QueueOptions>(
    subject,
    {
      type: oneOf(['quorum', 'classic']),
      durable: flag(),
      exclusive: flag(),
      autoDelete: flag(),
      bindings: list(bindingField),
      listensTo: list(sourceField),
      messageTtlMs: whole(),
      expiresMs: whole({ min: 1 }),
      maxLength: whole(),
      maxLengthBytes: whole(),
      overflow: oneOf(['drop-head', 'reject-publish']),
      maxPriority: whole({ min: 1, max: 255 }),
      singleActiveConsumer: flag(),
      deadLetterExchange: instance<Exchange | string>(
        'an exchange or its name',
        (v): v is Exchange | string => typeof v === 'string' || isExchange(v),
      ),
      deadLetterRoutingKey: text(),
      arguments: headersField,
    },
    options,
  )
  const exclusive = read.exclusive ?? name === ''
  const durable = read.durable ?? !exclusive
  const autoDelete = read.autoDelete ?? false
  const shared = name !== '' && durable && !exclusive && !autoDelete && read.maxPriority === undefined
  const type = read.type ?? (shared ? 'quorum' : 'classic')
  if (type === 'quorum' && !shared) {
    throw new ConfigError(subject, [
      { path: 'type', expected: "'classic' for a server-named, transient, exclusive, auto-delete or priority queue", got: "'quorum'" },
    ])
  }
  const deadLetterExchange = typeof read.deadLetterExchange === 'string' ? read.deadLetterExchange : read.deadLetterExchange?.name
  const bindings = [...(read.bindings ?? []), ...(read.listensTo ?? [])].map((source) =>
    isBinding(source) ? source : bind(source.exchange, source.routingKey),
  )
  return Object.freeze({
    kind: 'queue',
    name,
    type,
    durable,
    exclusive,
    autoDelete,
    bindings: Object.freeze(bindings),
    arguments: Object.freeze(
      present({
        'x-queue-type': type === 'quorum' ? 'quorum' : undefined,
        'x-message-ttl': read.messageTtlMs,
        'x-expires': read.expiresMs,
        'x-max-length': read.maxLength,
        'x-max-length-bytes': read.maxLengthBytes,
        'x-overflow': read.overflow,
        'x-max-priority': read.maxPriority,
        'x-single-active-consumer': read.singleActiveConsumer || undefined,
        'x-dead-letter-exchange': deadLetterExchange,
        'x-dead-letter-routing-key': read.deadLetterRoutingKey,
        ...read.arguments,
      }),
    ),
  })
}

function checkName(subject: string, name: unknown): asserts name is string {
  if (typeof name === 'string' && Buffer.byteLength(name) <= 255) return
  throw new ConfigError(subject, [
    {
      path: 'name',
      expected: 'a text of at most 255 bytes',
      got: typeof name === 'string' ? `${Buffer.byteLength(name)} bytes` : String(name),
    },
  ])
}

function hasKind(value: unknown, kind: string): boolean {
  return typeof value === 'object' && value !== null && Reflect.get(value, 'kind') === kind
}

function present(values: Headers): Headers {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}
