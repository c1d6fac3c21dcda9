/**
 * The connection on which Redis tells of what happens: bells, channels, keys that have changed. Apart from that for commands, since Redis
 * cuts off a client with a subscription that has more than 32 MB to read (`client-output-buffer-limit pubsub`), which one message may be.
 */
import { type Client, fieldsOf, type Heard } from './client.ts'
import type { Dialled } from './dial.ts'
import { wordOf } from './errors.ts'

/** Where Redis tells of keys, to a client in RESP2. */
const CHANGES = '__redis__:invalidate'

export interface ListeningOptions extends Dialled {
  /** Something came. */
  readonly heard: () => void
  /** This user may not be told of keys. */
  readonly deaf: (reason: unknown) => void
  /** A key has changed; `undefined` is any. */
  readonly changed: (key: string | undefined) => void
  readonly broken: (reason: unknown) => void
  /** Aborting ends it. */
  readonly signal: AbortSignal
}

export class Listening {
  readonly #client: Client
  readonly #heard: () => void

  private constructor(client: Client, heard: () => void) {
    this.#client = client
    this.#heard = heard
  }

  /** Resolves when Redis tells on it of the keys that the connection for commands asks about. Rejects with what went wrong. */
  static async open({ beside, client: commands, heard, deaf, changed, broken, signal }: ListeningOptions): Promise<Listening> {
    const client = await beside(signal)
    client.onBroken(broken)
    signal.addEventListener('abort', () => client.destroy(), { once: true })
    const { id } = fieldsOf(await client.command(['HELLO']))
    heard()
    const told = client.subscribe(CHANGES, (keys) => {
      heard()
      for (const key of Array.isArray(keys) ? (keys as readonly Buffer[]) : [undefined]) changed(key?.toString())
    })
    await told.then(
      () => commands.command(['CLIENT', 'TRACKING', 'ON', 'REDIRECT', String(id), 'OPTIN', 'NOLOOP']),
      (error: unknown) => {
        if (wordOf(error) !== 'NOPERM') throw error
        deaf(error)
      },
    )
    return new Listening(client, heard)
  }

  async toChannel(channel: string, listener: (message: Buffer) => void): Promise<void> {
    await this.#client.subscribe(channel, this.#hearing(listener))
  }

  async toPattern(pattern: string, listener: (message: Buffer) => void): Promise<void> {
    await this.#client.pSubscribe(pattern, this.#hearing(listener))
  }

  #hearing(listener: (message: Buffer) => void): (message: Heard) => void {
    return (message) => {
      this.#heard()
      if (Buffer.isBuffer(message)) listener(message)
    }
  }
}
