/** One connection to Redis, for commands and for what is told us by itself (RESP3 lets one carry both). It never reconnects. */
import type { Clock } from '../../core/clock.ts'
import { ConnectionError } from '../../core/errors.ts'
import { describe } from './address.ts'
import { type Client, dial, type DialOptions, type Dialled, unlessGivenUp } from './dial.ts'
import { connectionError, explain, topologyError } from './errors.ts'
import { type Script, type ScriptName, scripts } from './lua/index.ts'

/** As scripts answer: texts are buffers where they were asked for. */
export type Reply = number | string | Buffer | null | readonly Reply[]

export interface LinkOptions extends DialOptions {
  /** First argument of every script. */
  readonly session: string
  readonly clock: Clock
  /** Called once, when the connection has broken or cannot be used any more, and not after `close` or `destroy`. */
  readonly died: (reason: ConnectionError) => void
}

export class Link {
  readonly #options: LinkOptions
  readonly #scripts: Readonly<Record<ScriptName, Script>>
  readonly #client: Client
  readonly #asBuffers: object
  #lastHeardAt: number
  #open = true

  private constructor(options: LinkOptions, { client, asBuffers }: Dialled) {
    this.#options = options
    this.#scripts = scripts(options.address.names)
    this.#client = client
    this.#asBuffers = asBuffers
    this.#lastHeardAt = options.clock.monotonic()
    client.on('error', (error: unknown) => this.die(error))
  }

  /** Rejects with `ConnectionError`, or `MissingPeerError` where npm's `redis` is not installed. */
  static async open(options: LinkOptions): Promise<Link> {
    const dialled = await dial(options)
    const { address } = dialled
    const link = new Link({ ...options, address }, dialled)
    const destroy = (): void => link.destroy()
    try {
      await unlessGivenUp(options.signal, destroy, async () => {
        // The client has asked to be told of every key it reads; we mean those that we name.
        const watching = [link.command('CLIENT', 'TRACKING', 'OFF'), link.command('CLIENT', 'TRACKING', 'ON', 'OPTIN', 'NOLOOP')]
        await Promise.all([...watching, link.#load()])
      })
      return link
    } catch (error) {
      destroy()
      throw connectionError(describe(address), error)
    }
  }

  /** False once it has died or was closed. */
  get open(): boolean {
    return this.#open
  }

  get lastHeardAt(): number {
    return this.#lastHeardAt
  }

  /** Runs a script. Rejects with what Redis answered. Scripts run in the order they were called in. */
  run(name: ScriptName, ...args: readonly (string | Buffer)[]): Promise<Reply> {
    return this.command('EVALSHA', this.#scripts[name].sha, ...this.#arguments(args))
  }

  /** As `run`; texts in the answer are buffers. */
  runForBytes(name: ScriptName, ...args: readonly (string | Buffer)[]): Promise<Reply> {
    return this.#send(['EVALSHA', this.#scripts[name].sha, ...this.#arguments(args)], this.#asBuffers)
  }

  /** Runs a script for a caller who is told: rejects with `TopologyError` or `ConnectionError`, and dies of what is nobody's fault. */
  async ask(name: ScriptName, ...args: readonly string[]): Promise<Reply> {
    try {
      return await this.run(name, ...args)
    } catch (error) {
      throw this.verdict(error)
    }
  }

  command(...args: readonly (string | Buffer)[]): Promise<Reply> {
    return this.#send(args)
  }

  /** What an error means to whoever asked. Unless it is about what was asked, the connection cannot be used any more and dies of it. */
  verdict(error: unknown): Error {
    const refusal = topologyError(error)
    if (refusal) return refusal
    const reason = connectionError(describe(this.#options.address), error)
    this.die(reason)
    return reason
  }

  /**
   * Asks to be told, once, when one of these keys is changed by somebody else. Resolves with how many there are now, of which nothing
   * will be told.
   */
  async watch(keys: readonly string[]): Promise<number> {
    // One after the other in one write: it is about the next command alone.
    const caching = this.command('CLIENT', 'CACHING', 'YES')
    const there = this.command('EXISTS', ...keys)
    await caching
    return (await there) as number
  }

  /** `undefined` is any key. */
  onChanged(listener: (key: string | undefined) => void): void {
    this.#client.on('invalidate', (key) => {
      this.#heard()
      listener(key === null ? undefined : String(key))
    })
  }

  async listen(channel: string, listener: (message: Buffer) => void): Promise<void> {
    await this.#client.subscribe(channel, this.#hearing(listener), true)
  }

  async listenToPattern(pattern: string, listener: (message: Buffer) => void): Promise<void> {
    await this.#client.pSubscribe(pattern, this.#hearing(listener), true)
  }

  /** Ends it as if it had broken. Reports the first reason only. */
  die(error: unknown): void {
    if (!this.#open) return
    this.#open = false
    this.#client.destroy()
    const { address, died } = this.#options
    died(
      error instanceof ConnectionError
        ? error
        : new ConnectionError(`${describe(address)}: ${explain(error)}`, { cause: error, cut: true }),
    )
  }

  /** Waits for the answers to what was sent. May be called twice. */
  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await this.#client.close()
  }

  destroy(): void {
    this.#open = false
    this.#client.destroy()
  }

  #send(args: readonly (string | Buffer)[], options: object = {}): Promise<Reply> {
    const answer = this.#client.sendCommand<Reply>(args, options)
    answer.then(this.#heard, this.#heard)
    return answer
  }

  #hearing(listener: (message: Buffer) => void): (message: Buffer) => void {
    return (message) => {
      this.#heard()
      listener(message)
    }
  }

  readonly #heard = (): void => {
    this.#lastHeardAt = this.#options.clock.monotonic()
  }

  /** One key, by which a cluster knows where the script belongs. */
  #arguments(args: readonly (string | Buffer)[]): (string | Buffer)[] {
    const { address, session } = this.#options
    return ['1', `${address.names.prefix}_omnibus.sessions`, session, ...args]
  }

  async #load(): Promise<void> {
    const all = Object.values(this.#scripts)
    const there = (await this.command('SCRIPT', 'EXISTS', ...all.map(({ sha }) => sha))) as readonly number[]
    await Promise.all(all.filter((_, i) => there[i] !== 1).map(({ source }) => this.command('SCRIPT', 'LOAD', source)))
  }
}
