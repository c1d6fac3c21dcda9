/** The public API. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Bus, type BusOptions } from './bus/bus.ts'
import { Connection } from './core/connection.ts'
import type { ConnectionOptions } from './core/connection-options.ts'
import { ConfigError } from './core/errors.ts'
import { BUS_URL_VARIABLE, currentHost, type HostedResource } from './core/host.ts'
import type { Broker } from './core/transport.ts'
import { parseUrls } from './core/urls.ts'
import { checkSchemes, resultStoreAt, transportFor } from './transports/table.ts'

export interface CreateBusOptions extends BusOptions {
  /** A broker that is not reached by a URL alone, such as `redisWith(client)` of `omnibus/redis`. @default none: `url` says it */
  readonly broker?: Broker | undefined
  /**
   * The broker, or several to try in turn. @default what the supervisor set, else $BUS_URL, else the built-in broker in
   * `.omnibus` of the current folder, started if none runs
   */
  readonly url?: string | readonly string[] | undefined
  readonly connection?: ConnectionOptions
  /** Where results of Celery's tasks are kept, as its `result_backend`: a URL of Redis. @default $RESULTS_URL, else `rpc://`, which is this bus */
  readonly results?: string | undefined
}

/**
 * A connection to a broker: lazy, and it recovers by itself. `to` is a `url` or a `broker` as in `createBus()`. Under the supervisor its host
 * flushes and closes it at stop; elsewhere call `close()`. Throws `ConfigError`.
 */
export function connect(to?: string | readonly string[] | Broker, options: ConnectionOptions = {}): Connection {
  return hosted(open(to, options))
}

/** Celery's name for results that come as messages. */
const RPC = 'rpc://'

/** A bus; stopped as a connection is. Throws `ConfigError`. */
export function createBus(options: CreateBusOptions = {}): Bus {
  const { url, broker, connection, results = process.env['RESULTS_URL'], ...rest } = options
  if (url !== undefined && broker !== undefined)
    throw new ConfigError('createBus()', [{ path: 'url', expected: 'nothing beside broker', got: 'both' }])
  const store = results === undefined || results === '' || results === RPC ? undefined : resultStoreAt(results)
  return hosted(new Bus((onEvent) => open(broker ?? url, { ...connection, onEvent }), rest, store))
}

function open(to: string | readonly string[] | Broker | undefined, options: ConnectionOptions): Connection {
  if (isBroker(to)) {
    const { url, transport } = brokerOf(to)
    return new Connection(parseUrls(url), async () => transport, options)
  }
  const urls = parseUrls(to ?? defaultUrl())
  checkSchemes(urls)
  return new Connection(urls, transportFor, options)
}

const isBroker = (to: unknown): to is Broker => typeof to === 'object' && to !== null && !Array.isArray(to)

function brokerOf(given: Broker): Broker {
  const { url, transport } = given as Partial<Broker>
  if (typeof url === 'string' && typeof transport?.open === 'function') return given
  // Not shown: it may be a client, with a password in it.
  throw new ConfigError('The broker', [{ path: 'broker', expected: 'what redisWith() of omnibus/redis returns', got: 'another object' }])
}

function hosted<T extends HostedResource>(resource: T): T {
  currentHost()?.register(resource)
  return resource
}

function defaultUrl(): string {
  return process.env[BUS_URL_VARIABLE] || process.env['BUS_URL'] || pathToFileURL(resolve('.omnibus')).href.replace(/^file:/, 'omnibus:')
}

export { defineConfig } from './config/define.ts'
export type { OmnibusConfig, ResolvedConfig } from './config/types.ts'
export type { Bus, BusEvent } from './bus/bus.ts'
export {
  type ConsumerDefinition,
  type Handler,
  type HandlerContext,
  type Message,
  type Published,
  type PublishEventOptions,
  broadcast,
  consume,
  isConsumerDefinition,
  on,
} from './bus/consume.ts'
export type { CallOptions, SendOptions } from './bus/celery/caller.ts'
export type { TaskMessage } from './bus/celery/serve.ts'
export { type Kwargs, type Task, type TaskOptions, task } from './bus/celery/task.ts'
export { type Event, event } from './bus/event.ts'
export type { Inbox, InboxKey } from './bus/inbox.ts'
export { Reject, RetryAfter, Transient } from './bus/outcome.ts'
export type { Outbox, OutboxPublisher, OutboxPublishOptions, Relayed } from './bus/outbox.ts'
export type { ConsumePolicy } from './bus/policy.ts'
export { type ExponentialOptions, type RetryPolicy, exponential, noRetry } from './bus/retry.ts'
export type { RunningConsumer } from './bus/running-consumer.ts'
export type { Compression } from './core/codec-compression.ts'
export type { Connection } from './core/connection.ts'
export type { ConnectionEvent, ConnectionOptions, ConsumeOptions, PublishOptions } from './core/connection-options.ts'
export type { Consumer, DeliveryHandler } from './core/consumer.ts'
export type { Credentials, CredentialsSource } from './core/credentials.ts'
export type { Delivery } from './core/delivery.ts'
export { type Binding, type Exchange, type ExchangeOptions, type Queue, type QueueOptions, bind, exchange, queue } from './core/entities.ts'
export {
  ClosedError,
  CodecError,
  ConfigError,
  ConnectionError,
  HandlerError,
  MissingPeerError,
  OmnibusError,
  ProtocolError,
  PublishError,
  RequestError,
  TaskError,
  TopologyError,
  UnsupportedError,
  ValidationError,
  WorkerError,
} from './core/errors.ts'
export type { Headers, MessageProperties } from './core/message.ts'
export { type PreloadedOf, preloaded } from './core/preloaded.ts'
export type { InboxOptions, OutboxOptions } from './databases/options.ts'
export type { PostgresClient, PostgresPool } from './databases/postgres/client.ts'
export { postgresInbox } from './databases/postgres/inbox.ts'
export { postgresOutbox } from './databases/postgres/outbox.ts'
export { sqliteInbox } from './databases/sqlite/inbox.ts'
export { sqliteOutbox } from './databases/sqlite/outbox.ts'
export type { Broker, Capabilities, QueueState } from './core/transport.ts'
