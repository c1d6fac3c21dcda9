/**
 * One purpose's link to the broker: opens a session, brings it up, and opens the next when it dies. Together with
 * `Publisher` and `Consumer`, which say what "up" means, this is the only recovery there is.
 */
import { Backoff, type Ended } from './backoff.ts'
import { type Clock, type Timer, sleep } from './clock.ts'
import { ask, type Credentials, type CredentialsSource, keepRenewed, withCredentials } from './credentials.ts'
import { ClosedError, ConfigError, ConnectionError, messageOf, MissingPeerError } from './errors.ts'
import { redactUrl } from './redact.ts'
import type { Session, Transport } from './transport.ts'

export interface LinkOptions {
  readonly name: string
  readonly urls: readonly URL[]
  readonly transportFor: (url: URL) => Promise<Transport>
  readonly connectTimeoutMs: number
  readonly heartbeatMs: number
  readonly backoff: { readonly minMs: number; readonly maxMs: number }
  readonly clock: Clock
  /** Instead of the URLs' own. */
  readonly credentials: CredentialsSource | undefined
  readonly onCredentialsFailed: (error: unknown) => void
  /** Looks at each URL before it is tried, and throws what speaks against it. */
  readonly admit: (url: URL) => void
  /** Runs on a fresh session before the link counts as up: declare, resume. A rejection gives the session up. */
  readonly bringUp: (session: Session, transport: Transport) => Promise<void>
  readonly onUp: () => void
  readonly onDown: (error: ConnectionError, retryInMs: number) => void
  readonly onBlocked: (reason: string | undefined) => void
  readonly onWarned: (reason: string) => void
}

/** A broker that accepts us but never answers what we declare is as good as gone. Milliseconds. */
const BRING_UP_MS = 30_000
/** A session that was up for longer than this lived; one that broke sooner may be a broker that lets go of us at once. Milliseconds. */
const LIVED_MS = 1_000

interface Waiter {
  readonly resolve: (session: Session) => void
  readonly reject: (error: Error) => void
}

export class Link {
  readonly #options: LinkOptions
  readonly #closing = new AbortController()
  readonly #waiters = new Set<Waiter>()
  #running: Promise<void> | undefined
  #session: Session | undefined
  #transport: Transport | undefined
  #lastError: ConnectionError | undefined

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** The live session, once brought up. */
  get session(): Session | undefined {
    return this.#session
  }

  get transport(): Transport | undefined {
    return this.#transport
  }

  /** Begun and not closed: someone cares whether it is up. */
  get started(): boolean {
    return this.#running !== undefined && !this.#closing.signal.aborted
  }

  /** Why it is not up, or why it last went down. */
  get lastError(): ConnectionError | undefined {
    return this.#lastError
  }

  /** Begins to connect, and to stay connected. May be called any number of times. */
  start(): void {
    if (this.#closing.signal.aborted) throw new ClosedError(`The connection is closed`)
    this.#running ??= this.#run()
  }

  /**
   * The live session, waiting for it if need be. Rejects with `ConnectionError` after `deadlineMs`, or at once when
   * the broker refuses us for good; with `ConfigError` or `MissingPeerError` where it cannot be asked; with `ClosedError` after `close()`.
   */
  up(deadlineMs: number): Promise<Session> {
    this.start()
    if (this.#session) return Promise.resolve(this.#session)
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiters.delete(waiter)
        timer.cancel()
      }
      const waiter: Waiter = {
        resolve: (session) => (settle(), resolve(session)),
        reject: (error) => (settle(), reject(error)),
      }
      const timer: Timer = this.#options.clock.after(deadlineMs, () => {
        const why = this.#lastError ? `: ${this.#lastError.message}` : ''
        waiter.reject(
          new ConnectionError(`Not connected to ${this.#hosts()} within ${Math.round(deadlineMs)} ms${why}`, { cause: this.#lastError }),
        )
      })
      this.#waiters.add(waiter)
    })
  }

  /** Says goodbye and stops recovering. May be called twice. */
  async close(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    this.#closing.abort(new ClosedError('The connection is closed'))
    for (const waiter of this.#waiters) waiter.reject(new ClosedError('The connection is closed'))
    await session?.close()
    await this.#running
  }

  /** Runs until closed: one turn per session. */
  async #run(): Promise<void> {
    const { urls, clock } = this.#options
    const backoff = new Backoff({ ...this.#options.backoff, hosts: urls.length })
    for (let turn = 0; !this.#closing.signal.aborted; turn++) {
      const ended = await this.#live(urls[turn % urls.length]!)
      const { error } = ended
      if (this.#closing.signal.aborted) return
      this.#lastError = error
      const retryInMs = backoff.after(ended)
      this.#options.onDown(error, retryInMs)
      if (error.fatal) for (const waiter of this.#waiters) waiter.reject(isOurs(error.cause) ? error.cause : error)
      await sleep(retryInMs, { clock, signal: this.#closing.signal }).catch(() => undefined)
    }
  }

  /** One session from opening to death. Resolves with the reason; never rejects. */
  async #live(url: URL): Promise<Ended> {
    const { admit, bringUp, clock, connectTimeoutMs, credentials, heartbeatMs, name, onBlocked, onUp, onWarned, transportFor } =
      this.#options
    const { signal } = this.#closing
    const died = Promise.withResolvers<ConnectionError>()
    const onClosing = (): void => died.resolve(new ConnectionError('The connection is closed'))
    signal.addEventListener('abort', onClosing, { once: true })
    let session: Session | undefined
    let watchdog: Timer | undefined
    let renewal: Timer | undefined
    let granted: Credentials | undefined
    let upAt: number | undefined
    const end = (error: ConnectionError): Ended => ({
      error,
      opened: session !== undefined,
      lived: upAt !== undefined && clock.monotonic() - upAt > LIVED_MS,
    })
    try {
      admit(url)
      this.#transport = await transportFor(url)
      granted = credentials && (await ask(credentials, { withinMs: connectTimeoutMs, clock, signal }))
      const handlers = { died: died.resolve, blocked: onBlocked, unblocked: () => onBlocked(undefined), warned: onWarned }
      const complete = granted ? withCredentials(url, granted) : url
      session = await this.#transport.open({ url: complete, name, connectTimeoutMs, heartbeatMs, signal, handlers })
      const death = died.promise.then((error) => Promise.reject(error))
      death.catch(() => undefined)
      const slow = clock.after(BRING_UP_MS, () =>
        died.resolve(new ConnectionError(`The broker did not answer our declarations within ${BRING_UP_MS} ms`)),
      )
      await Promise.race([bringUp(session, this.#transport), death]).finally(() => slow.cancel())
      this.#session = session
      upAt = clock.monotonic()
      watchdog = this.#watch(session, died.resolve)
      if (credentials && granted) {
        const onFailed = this.#options.onCredentialsFailed
        renewal = keepRenewed({ session, source: credentials, granted, withinMs: connectTimeoutMs, clock, onFailed })
      }
      onUp()
      for (const waiter of this.#waiters) waiter.resolve(session)
      return end(await died.promise)
    } catch (cause) {
      // Brought up in part only: nothing of it may go on beside the next one.
      session?.destroy()
      // Credentials that were refused may have been old ones; they are asked for again.
      const error =
        cause instanceof ConnectionError && !(granted && cause.fatal)
          ? cause
          : new ConnectionError(`${redactUrl(url.href)}: ${messageOf(cause)}`, { cause, fatal: isOurs(cause) })
      return end(error)
    } finally {
      signal.removeEventListener('abort', onClosing)
      watchdog?.cancel()
      renewal?.cancel()
      this.#session = undefined
      onBlocked(undefined)
    }
  }

  /** A session that has been silent for three heartbeats is dead, whatever its socket says. */
  #watch(session: Session, died: (error: ConnectionError) => void): Timer | undefined {
    const { clock, heartbeatMs } = this.#options
    if (heartbeatMs === 0) return undefined
    let timer: Timer
    const look = (): void => {
      const silentMs = clock.monotonic() - session.lastHeardAt
      if (silentMs > heartbeatMs * 3) {
        session.destroy()
        died(new ConnectionError(`Nothing was heard from the broker for ${Math.round(silentMs)} ms`))
      } else timer = clock.after(heartbeatMs, look, { unref: true })
    }
    timer = clock.after(heartbeatMs, look, { unref: true })
    return { cancel: () => timer.cancel() }
  }

  #hosts(): string {
    return this.#options.urls.map((url) => redactUrl(url.href)).join(', ')
  }
}

/** No broker has said it, and none ever will: the URL, or what is installed here, is at fault. */
const isOurs = (error: unknown): error is Error => error instanceof ConfigError || error instanceof MissingPeerError
