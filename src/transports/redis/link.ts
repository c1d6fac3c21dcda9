/** A session's connections to Redis: one for commands, and one on which it listens once it has a reason to. They never reconnect. */
import type { Clock } from '../../core/clock.ts'
import { ConnectionError } from '../../core/errors.ts'
import { describe } from './address.ts'
import { type Client, type Reply, unlessGivenUp } from './client.ts'
import { dial, type DialOptions, type Dialled } from './dial.ts'
import { connectionError, explain, topologyError } from './errors.ts'
import { Listening } from './listening.ts'
import { type Script, type ScriptName, scripts } from './lua/index.ts'
import { Pace } from './pace.ts'

export interface LinkOptions extends DialOptions {
  /** First argument of every script. */
  readonly session: string
  readonly clock: Clock
  /** An answer shall come within this, whatever was sent. Milliseconds. */
  readonly answerWithinMs: number
  /** Called with what a person should know. */
  readonly warned: (reason: string) => void
  /** Called once, when the connection has broken or cannot be used any more, and not after `close` or `destroy`. */
  readonly died: (reason: ConnectionError) => void
}

export class Link {
  readonly #options: LinkOptions
  readonly #scripts: Readonly<Record<ScriptName, Script>>
  readonly #dialled: Dialled
  readonly #client: Client
  /** What goes to Redis at a time, and what comes from there. */
  readonly pace: { readonly up: Pace; readonly down: Pace }
  #listening: Promise<Listening> | undefined
  #lastHeardAt: number
  /** The same of the connection that listens; undefined where there is none. */
  #lastToldAt: number | undefined
  /** Redis tells of keys that are watched. */
  #watches = true
  #changed: (key: string | undefined) => void = () => undefined
  readonly #over = new AbortController()

  private constructor(options: LinkOptions, dialled: Dialled) {
    const { answerWithinMs, clock } = options
    this.#options = options
    this.#scripts = scripts(options.address.names, dialled.cluster)
    this.#dialled = dialled
    this.#client = dialled.client
    this.pace = { up: new Pace(clock, answerWithinMs), down: new Pace(clock, answerWithinMs) }
    this.#lastHeardAt = clock.monotonic()
    this.#client.onBroken((error) => this.die(error))
  }

  /** Rejects with `ConnectionError`, or `MissingPeerError` where the client library is not installed. */
  static async open(options: LinkOptions): Promise<Link> {
    const dialled = await dial(options)
    const { address } = dialled
    const link = new Link({ ...options, address }, dialled)
    const destroy = (): void => link.destroy()
    try {
      await unlessGivenUp(options.signal, destroy, () => link.#load())
      return link
    } catch (error) {
      destroy()
      throw connectionError(describe(address), error)
    }
  }

  /** It has led to a cluster. */
  get cluster(): boolean {
    return this.#dialled.cluster
  }

  /** False once it has died or was closed. */
  get open(): boolean {
    return !this.#over.signal.aborted
  }

  /** Of the connection that has been silent for longer. */
  get lastHeardAt(): number {
    return Math.min(this.#lastHeardAt, this.#lastToldAt ?? Infinity)
  }

  /** It has, or is about to have, a connection that listens. */
  get listens(): boolean {
    return this.#listening !== undefined
  }

  /** Runs a script. Rejects with what Redis answered. Scripts run in the order they were called in. */
  run(name: ScriptName, ...args: readonly (string | Buffer)[]): Promise<Reply> {
    return this.command('EVALSHA', this.#scripts[name].sha, ...this.#arguments(args))
  }

  /** As `run`; texts in the answer are buffers. */
  runForBytes(name: ScriptName, ...args: readonly (string | Buffer)[]): Promise<Reply> {
    return this.#answered(this.#client.commandForBytes(['EVALSHA', this.#scripts[name].sha, ...this.#arguments(args)]))
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
    return this.#answered(this.#client.command(args))
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
    if (!this.#watches) return 0
    // One after the other in one write: it is about the next command alone.
    const caching = this.command('CLIENT', 'CACHING', 'YES')
    const there = this.command('EXISTS', ...keys)
    await caching
    return (await there) as number
  }

  /** `undefined` is any key. Called while it listens. */
  onChanged(listener: (key: string | undefined) => void): void {
    this.#changed = listener
  }

  /** Resolves when Redis tells. Rejects with `ConnectionError`, of which it dies. */
  async listen(channel: string, listener: (message: Buffer) => void): Promise<void> {
    await this.#onListening((listening) => listening.toChannel(channel, listener))
  }

  /** As `listen`. */
  async listenToPattern(pattern: string, listener: (message: Buffer) => void): Promise<void> {
    await this.#onListening((listening) => listening.toPattern(pattern, listener))
  }

  /** Ends it as if it had broken. Reports the first reason only. */
  die(error: unknown): void {
    if (!this.open) return
    this.destroy()
    const { address, died } = this.#options
    died(
      error instanceof ConnectionError
        ? error
        : new ConnectionError(`${describe(address)}: ${explain(error)}`, { cause: error, cut: true }),
    )
  }

  /** Waits for the answers to what was sent. May be called twice. */
  async close(): Promise<void> {
    if (!this.open) return
    this.#over.abort()
    await this.#client.close()
  }

  destroy(): void {
    this.#over.abort()
    this.#client.destroy()
  }

  async #onListening(step: (listening: Listening) => Promise<void>): Promise<void> {
    const { clock, connectTimeoutMs, warned } = this.#options
    const late = clock.after(connectTimeoutMs, () => this.die(new Error(`no connection to listen on within ${connectTimeoutMs} ms`)))
    try {
      this.#listening ??= Listening.open({
        ...this.#dialled,
        heard: () => (this.#lastToldAt = clock.monotonic()),
        deaf: (reason) => {
          this.#watches = false
          warned(
            `nothing tells of what Kombu puts into queues, which is found every polling_interval, until the user may hear the channel __redis__:invalidate (${explain(reason)})`,
          )
        },
        changed: (key) => this.#changed(key),
        broken: (reason) => this.die(reason),
        signal: this.#over.signal,
      })
      await step(await this.#listening)
    } catch (error) {
      throw this.verdict(error)
    } finally {
      late.cancel()
    }
  }

  #answered(answer: Promise<Reply>): Promise<Reply> {
    answer.then(this.#heard, this.#heard)
    return answer
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
