/** Connections by ioredis, 5 or 6, to where a user's client leads. */
import { ConnectionError } from '../../core/errors.ts'
import { describe } from './address.ts'
import { type Client, type Connector, type ConnectRequest, type Heard, nameFor, type Reply, unlessGivenUp } from './client.ts'
import { connectionError } from './errors.ts'

/** A client of ioredis that a user has: `new Redis()`, or one of its Sentinels. Structural, so that no user needs its types. */
export interface GivenIoRedis {
  readonly isCluster: boolean
  readonly status: string
  readonly options: object
  duplicate(override?: object): unknown
}

/** One for a cluster: `new Cluster()`. */
export interface GivenIoCluster {
  readonly isCluster: boolean
  readonly status: string
  readonly options: object
  nodes(role: 'master'): readonly GivenIoRedis[]
}

/** Of a client's options, what is asked for here. */
export interface IoOptions {
  readonly host?: string
  readonly port?: number
  readonly path?: string | null
  readonly tls?: object
  readonly db?: number
  readonly keyPrefix?: string
  readonly sentinels?: readonly { readonly host?: string; readonly port?: number }[] | null
}

/** What we use of one of our own. */
interface IoRedis {
  readonly stream?: { destroy(): void }
  on(event: 'error' | 'connect' | 'end', listener: (error: unknown) => void): unknown
  on(event: 'messageBuffer', listener: (channel: Buffer, message: Heard) => void): unknown
  on(event: 'pmessageBuffer', listener: (pattern: string, channel: Buffer, message: Heard) => void): unknown
  connect(): Promise<void>
  call(command: string, ...args: readonly (string | Buffer)[]): Promise<Reply>
  callBuffer(command: string, ...args: readonly (string | Buffer)[]): Promise<Reply>
  subscribe(channel: string): Promise<unknown>
  psubscribe(pattern: string): Promise<unknown>
  quit(): Promise<unknown>
  disconnect(): void
}

/** Its own reconnecting, queueing and retrying is off: `Connection` recovers. What changes commands or answers is off, too. */
const OURS = {
  lazyConnect: true,
  retryStrategy: null,
  sentinelRetryStrategy: null,
  reconnectOnError: null,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  enableAutoPipelining: false,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  failoverDetector: false,
  disableClientInfo: true,
  commandTimeout: undefined,
  socketTimeout: undefined,
  // Since our prefix is in the names already.
  keyPrefix: '',
  monitor: false,
  readOnly: false,
  scripts: undefined,
  stringNumbers: false,
  protocol: 2,
  replyMapping: 'legacy',
}

/** To where a user's client leads, through its Sentinels or in its cluster. The client itself is left alone. */
export function fromIoRedis(given: GivenIoRedis | GivenIoCluster): Connector {
  let turn = 0
  const oneOf = (cluster: GivenIoCluster): GivenIoRedis => {
    const nodes = cluster.nodes('master')
    if (nodes.length === 0) throw new ConnectionError('The ioredis client of a cluster that was given is not connected to any of its nodes')
    return nodes[turn++ % nodes.length]!
  }
  return async (request) => {
    const { address, sentOn, name, connectTimeoutMs } = request
    const { username, password, host, port } = address
    const one = 'nodes' in given ? oneOf(given) : given
    const client = one.duplicate({
      ...OURS,
      connectionName: nameFor(name),
      connectTimeout: connectTimeoutMs,
      ...(password === undefined ? {} : { username, password }),
      ...(sentOn ? { host, port, path: undefined, sentinels: null } : {}),
    })
    return connected(client as IoRedis, request)
  }
}

async function connected(client: IoRedis, { address, signal }: ConnectRequest): Promise<Client> {
  const listeners: ((reason: unknown) => void)[] = []
  let last: unknown
  let reached = false
  // An error comes before the end, and says more.
  client.on('error', (reason) => (last = reason))
  client.on('connect', () => (reached = true))
  client.on('end', () => {
    for (const listener of listeners) listener(last ?? new Error('the connection was closed'))
  })
  const destroy = (): void => {
    client.disconnect()
    // It would wait for the other side to close, too.
    client.stream?.destroy()
  }
  try {
    await unlessGivenUp(signal, destroy, () => client.connect())
  } catch (error) {
    destroy()
    throw connectionError(describe(address), signal.aborted ? error : (last ?? error), reached)
  }
  const channels = new Map<string, (message: Heard) => void>()
  const patterns = new Map<string, (message: Heard) => void>()
  client.on('messageBuffer', (channel, message) => channels.get(channel.toString())?.(message))
  client.on('pmessageBuffer', (pattern, _, message) => patterns.get(pattern)?.(message))
  return {
    command: ([name = '', ...args]) => client.call(name.toString(), ...args),
    commandForBytes: ([name = '', ...args]) => client.callBuffer(name.toString(), ...args),
    async subscribe(channel, listener) {
      channels.set(channel, listener)
      await client.subscribe(channel)
    },
    async pSubscribe(pattern, listener) {
      patterns.set(pattern, listener)
      await client.psubscribe(pattern)
    },
    onBroken: (listener) => void listeners.push(listener),
    async close() {
      await client.quit()
    },
    destroy,
  }
}
