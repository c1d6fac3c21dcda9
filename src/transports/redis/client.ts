/** What we use of a client library, of npm's `redis` or of ioredis: one connection in RESP2, which never reconnects. */
import type { Address } from './address.ts'

/** As Redis answers: texts are buffers where they were asked for. */
export type Reply = number | string | Buffer | null | readonly Reply[]

/** What a channel says: a text, or on that of client tracking the keys that have changed, `null` being all. */
export type Heard = Buffer | readonly Buffer[] | null

export interface Client {
  /** Rejects with what Redis answered, or with why the connection broke. */
  command(args: readonly (string | Buffer)[]): Promise<Reply>
  /** As `command`; texts in the answer are buffers. */
  commandForBytes(args: readonly (string | Buffer)[]): Promise<Reply>
  subscribe(channel: string, listener: (message: Heard) => void): Promise<void>
  pSubscribe(pattern: string, listener: (message: Heard) => void): Promise<void>
  /** Called when it has broken; perhaps more than once, perhaps after `destroy`. */
  onBroken(listener: (reason: unknown) => void): void
  /** Waits for the answers to what was sent. */
  close(): Promise<void>
  destroy(): void
}

export interface ConnectRequest {
  readonly address: Address
  /** A node of a cluster has sent us on to this address. */
  readonly sentOn: boolean
  /** Shown by `CLIENT LIST`. */
  readonly name: string
  readonly connectTimeoutMs: number
  /** Aborting gives it up. */
  readonly signal: AbortSignal
}

/** Makes a connected client. Rejects with `ConnectionError`, or `MissingPeerError` where the library is not installed. */
export type Connector = (request: ConnectRequest) => Promise<Client>

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

/** RESP2 has no maps: names and values in turn. */
export function fieldsOf(reply: Reply): Readonly<Record<string, Reply>> {
  const list = Array.isArray(reply) ? (reply as readonly Reply[]) : []
  return Object.fromEntries(list.flatMap((name, i) => (i % 2 === 0 ? [[String(name), list[i + 1] ?? null]] : [])))
}

/** Redis takes no spaces in a name. */
export const nameFor = (name: string): string => name.replaceAll(/[^!-~]+/g, '-')
