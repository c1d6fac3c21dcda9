/** Finds the server that has our keys, and connects to it: the one of the URL, the master a Sentinel names, a cluster's node. */
import { ConnectionError } from '../../core/errors.ts'
import { type Address, describe } from './address.ts'
import { connectionError } from './errors.ts'
import { loadRedis } from './peer.ts'
import { settingsOf } from './settings.ts'

export interface DialOptions {
  readonly address: Address
  readonly name: string
  readonly connectTimeoutMs: number
  /** Aborting gives up opening. */
  readonly signal: AbortSignal
}

/** What we use of npm's client. */
export interface Client {
  on(event: 'error' | 'connect', listener: (error: unknown) => void): unknown
  on(event: 'invalidate', listener: (key: Buffer | string | null) => void): unknown
  sendCommand<T>(args: readonly (string | Buffer)[], options?: object): Promise<T>
  subscribe(channel: string, listener: (message: Buffer) => void, buffers: true): Promise<void>
  pSubscribe(pattern: string, listener: (message: Buffer) => void, buffers: true): Promise<void>
  close(): Promise<void>
  destroy(): void
}

export interface Dialled {
  readonly client: Client
  readonly address: Address
  /** An option of `sendCommand`: texts in the answer are buffers. */
  readonly asBuffers: object
}

/** Nodes of a cluster that send us on before we give up. */
const HOPS = 3
/** Scripts say by themselves that they may run when memory is short. */
const OLDEST = 7

/** Rejects with `ConnectionError`, or `MissingPeerError` where npm's `redis` is not installed. */
export async function dial(options: DialOptions): Promise<Dialled> {
  let address = options.address.master === undefined ? options.address : await masterOf(options.address.master, options)
  for (let hops = 0; ; hops++) {
    const dialled = await connect({ ...options, address })
    const destroy = (): void => dialled.client.destroy()
    try {
      await unlessGivenUp(options.signal, destroy, () => greet(dialled))
      return dialled
    } catch (error) {
      destroy()
      const [, host, port] = /^MOVED \d+ (.*):(\d+)$/.exec((error as Error).message) ?? []
      if (port === undefined || hops === HOPS) throw connectionError(describe(address), error)
      // No name is that of the node that says so.
      address = { ...address, host: host || address.host, port: Number(port) }
    }
  }
}

/**
 * A step of opening. Where opening is given up, `end` makes fail what the step waits for, since a server that is reached may never
 * answer, and the step rejects with the reason.
 */
export async function unlessGivenUp<T>(signal: AbortSignal, end: () => void, step: () => Promise<T>): Promise<T> {
  signal.throwIfAborted()
  signal.addEventListener('abort', end, { once: true })
  try {
    return await step()
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    signal.removeEventListener('abort', end)
  }
}

async function connect(options: DialOptions): Promise<Dialled> {
  const { address, signal } = options
  const { createClient, RESP_TYPES } = await loadRedis()
  const settings = await settingsOf(options)
  const client = createClient({ ...settings, emitInvalidate: address.master === undefined })
  // What goes wrong here is told by `connect()`, and later by what hangs in the air; without a listener it would end the process.
  client.on('error', () => undefined)
  let reached = false
  client.on('connect', () => (reached = true))
  const destroy = (): void => client.destroy()
  try {
    await unlessGivenUp(signal, destroy, () => client.connect())
    return { client, address, asBuffers: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } } }
  } catch (error) {
    destroy()
    throw connectionError(describe(address), error, reached)
  }
}

/** Rejects where this server cannot serve us, and with its own `MOVED` where another one of its cluster does. */
async function greet({ client, address: { names, ...address } }: Dialled): Promise<void> {
  const { version, mode } = await client.sendCommand<{ version?: string; mode?: string }>(['HELLO'])
  const refuse = (problem: string): ConnectionError =>
    new ConnectionError(`${describe({ names, ...address })}: ${problem}`, { fatal: true })
  if (Number.parseInt(version ?? '', 10) < OLDEST)
    throw refuse(`it is version ${version}; Redis ${OLDEST} or Valkey 7.2 at least is needed`)
  if (mode === 'sentinel') throw refuse('it is a Sentinel, whose URL is sentinel://host:26379/0?master_name=NAME')
  if (mode !== 'cluster') return
  if (!/\{[^}]+\}/.test(names.prefix)) {
    throw refuse('it is a cluster, where all keys need one hash tag: global_keyprefix={name}. here, and for Kombu the same')
  }
  await client.sendCommand(['EXISTS', `${names.prefix}_omnibus.sessions`])
}

/** Asks the Sentinel of the URL; the next one in the URL is tried by whoever opens sessions. */
async function masterOf(master: string, options: DialOptions): Promise<Address> {
  const { address } = options
  const sentinel = { ...address, database: 0, username: undefined, password: address.sentinelPassword }
  const { client } = await connect({ ...options, address: sentinel })
  const destroy = (): void => client.destroy()
  const ask = () => client.sendCommand<[string, string] | null>(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master])
  try {
    const found = await unlessGivenUp(options.signal, destroy, ask)
    if (found === null) throw new ConnectionError(`The Sentinel at ${describe(address)} knows no master "${master}"`)
    const { master: _, ...others } = address
    return { ...others, host: found[0], port: Number(found[1]) }
  } catch (error) {
    throw connectionError(describe(address), error)
  } finally {
    destroy()
  }
}
