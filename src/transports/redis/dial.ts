/** Finds the server that has our keys, and connects to it: the one of the URL, the master a Sentinel names, a cluster's node. */
import { ConnectionError } from '../../core/errors.ts'
import { type Address, describe } from './address.ts'
import { type Client, type ConnectRequest, type Connector, fieldsOf, unlessGivenUp } from './client.ts'
import { connectionError } from './errors.ts'

export interface DialOptions extends Omit<ConnectRequest, 'sentOn'> {
  readonly connector: Connector
}

export interface Dialled {
  readonly client: Client
  readonly address: Address
  /** It is a node of one. */
  readonly cluster: boolean
  /** Makes another connection to the same server, unless the signal is aborted first. */
  readonly beside: (signal: AbortSignal) => Promise<Client>
}

/** Nodes of a cluster that send us on before we give up. */
const HOPS = 3
/** Scripts say by themselves that they may run when memory is short. */
const OLDEST = 7

/** Rejects with `ConnectionError`, or `MissingPeerError` where the client library is not installed. */
export async function dial({ connector, ...options }: DialOptions): Promise<Dialled> {
  let address = options.address.master === undefined ? options.address : await masterOf(options.address.master, connector, options)
  for (let hops = 0; ; hops++) {
    const request: ConnectRequest = { ...options, address, sentOn: hops > 0 }
    const client = await connector(request)
    const destroy = (): void => client.destroy()
    try {
      const cluster = await unlessGivenUp(options.signal, destroy, () => greet(client, address))
      return { client, address, cluster, beside: (signal) => connector({ ...request, signal }) }
    } catch (error) {
      destroy()
      const [, host, port] = /^MOVED \d+ (.*):(\d+)$/.exec((error as Error).message) ?? []
      if (port === undefined || hops === HOPS) throw connectionError(describe(address), error)
      // No name is that of the node that says so.
      address = { ...address, host: host || address.host, port: Number(port) }
    }
  }
}

/** Whether it is of a cluster. Rejects where this server cannot serve us, and with its own `MOVED` where another one of its cluster does. */
async function greet(client: Client, address: Address): Promise<boolean> {
  const { prefix } = address.names
  const { version, mode } = fieldsOf(await client.command(['HELLO']))
  const refuse = (problem: string): ConnectionError => new ConnectionError(`${describe(address)}: ${problem}`, { fatal: true })
  if (Number.parseInt(String(version), 10) < OLDEST)
    throw refuse(`it is version ${String(version)}; Redis ${OLDEST} or Valkey 7.2 at least is needed`)
  if (mode === 'sentinel') throw refuse('it is a Sentinel, whose URL is sentinel://host:26379/0?master_name=NAME')
  if (mode !== 'cluster') return false
  if (!/\{[^}]+\}/.test(prefix)) {
    throw refuse('it is a cluster, where all keys need one hash tag: global_keyprefix={name}. here, and for Kombu the same')
  }
  await client.command(['EXISTS', `${prefix}_omnibus.sessions`])
  return true
}

/** Asks the Sentinel of the URL; the next one in the URL is tried by whoever opens sessions. */
async function masterOf(master: string, connector: Connector, options: Omit<DialOptions, 'connector'>): Promise<Address> {
  const { address } = options
  const sentinel = { ...address, database: 0, username: undefined, password: address.sentinelPassword }
  const client = await connector({ ...options, address: sentinel, sentOn: false })
  const destroy = (): void => client.destroy()
  const ask = () => client.command(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master])
  try {
    const found = (await unlessGivenUp(options.signal, destroy, ask)) as readonly [string, string] | null
    if (found === null) throw new ConnectionError(`The Sentinel at ${describe(address)} knows no master "${master}"`)
    const { master: _, ...others } = address
    return { ...others, host: found[0], port: Number(found[1]) }
  } catch (error) {
    throw connectionError(describe(address), error)
  } finally {
    destroy()
  }
}
