/** Connections by npm's `redis`. */
import type { RedisClientOptions } from 'redis'
import { readTlsFiles } from '../kit/tls-files.ts'
import { describe } from './address.ts'
import { type Client, type Connector, type ConnectRequest, type Heard, nameFor, type Reply, unlessGivenUp } from './client.ts'
import { connectionError } from './errors.ts'
import { loadRedis } from './peer.ts'

/** What we use of npm's client. */
interface NpmClient {
  on(event: 'error' | 'connect', listener: (error: unknown) => void): unknown
  connect(): Promise<unknown>
  sendCommand<T>(args: readonly (string | Buffer)[], options?: object): Promise<T>
  subscribe(channel: string, listener: (message: Buffer) => void, buffers: true): Promise<void>
  pSubscribe(pattern: string, listener: (message: Buffer) => void, buffers: true): Promise<void>
  close(): Promise<void>
  destroy(): void
}

/** A client of npm's `redis` that a user has, as `createClient()` returns it. Structural, so that no user needs its types. */
export interface GivenNpmClient {
  readonly isOpen: boolean
  readonly options: unknown
  duplicate(overrides?: object): unknown
}

/** Of a client's options, what is asked for here. */
export interface NpmOptions {
  readonly socket?: { readonly host?: string; readonly port?: number; readonly path?: string; readonly tls?: boolean }
  readonly database?: number
  readonly keyPrefix?: string | Buffer
}

/** Its own reconnecting, queueing and retrying is off: `Connection` recovers. */
const OURS = {
  disableOfflineQueue: true,
  disableClientInfo: true,
  maintNotifications: 'disabled',
  pingInterval: 0,
  // A timer per command would cost more than the command.
  commandOptions: { timeout: 0 },
} as const

/** The mark of a text in RESP, by which the client calls it: such ones become buffers. */
const AS_BUFFERS = { typeMapping: { ['$'.charCodeAt(0)]: Buffer } }

/** Options for the server of a URL. `RESP` is left to who uses them. */
export async function settingsOf({
  address,
  name,
  connectTimeoutMs,
}: Pick<ConnectRequest, 'address' | 'name' | 'connectTimeoutMs'>): Promise<RedisClientOptions> {
  const { host, port, tls, database, username, password } = address
  const common = { host, port, connectTimeout: connectTimeoutMs, reconnectStrategy: false } as const
  return {
    ...OURS,
    socket: tls ? { ...common, tls: true, ...(await readTlsFiles(address.files)) } : common,
    database,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    name: nameFor(name),
  }
}

/** To the server that the URL names. */
export const fromUrl: Connector = async (request) => {
  const { createClient } = await loadRedis()
  return connected(createClient({ ...(await settingsOf(request)), RESP: 2 }) as unknown as NpmClient, request)
}

/** To where a user's client leads, which itself is left alone. */
export function fromNpmClient(given: GivenNpmClient): Connector {
  return async (request) => {
    const { address, sentOn, name, connectTimeoutMs } = request
    const { socket = {}, ...others } = given.options as NpmOptions
    const { path: _, ...withoutPath } = socket
    const target = sentOn ? { ...withoutPath, host: address.host, port: address.port } : socket
    const { username, password } = address
    const client = given.duplicate({
      ...others,
      ...OURS,
      RESP: 2,
      name: nameFor(name),
      clientSideCache: undefined,
      emitInvalidate: false,
      // Since our prefix is in the names already.
      keyPrefix: undefined,
      readonly: false,
      commandsQueueMaxLength: undefined,
      // The client of today takes what is written here for its own only where it has no provider.
      ...(password === undefined ? {} : { username, password, credentialsProvider: undefined }),
      socket: { ...target, connectTimeout: connectTimeoutMs, socketTimeout: undefined, reconnectStrategy: false },
    })
    return connected(client as NpmClient, request)
  }
}

async function connected(client: NpmClient, { address, signal }: ConnectRequest): Promise<Client> {
  const listeners: ((reason: unknown) => void)[] = []
  // What goes wrong here is told by `connect()`, and later by what hangs in the air; without a listener it would end the process.
  client.on('error', (reason) => {
    for (const listener of listeners) listener(reason)
  })
  let reached = false
  client.on('connect', () => (reached = true))
  const destroy = (): void => client.destroy()
  try {
    await unlessGivenUp(signal, destroy, () => client.connect())
  } catch (error) {
    destroy()
    throw connectionError(describe(address), error, reached)
  }
  return {
    command: (args) => client.sendCommand<Reply>(args),
    commandForBytes: (args) => client.sendCommand<Reply>(args, AS_BUFFERS),
    subscribe: (channel, listener) => client.subscribe(channel, listener as (message: Heard) => void, true),
    pSubscribe: (pattern, listener) => client.pSubscribe(pattern, listener as (message: Heard) => void, true),
    onBroken: (listener) => void listeners.push(listener),
    close: () => client.close(),
    destroy,
  }
}
