/** Who we are at a broker, where that changes while we run: tokens that expire, passwords that rotate. */
import type { Clock, Timer } from './clock.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { ConnectionError, messageOf } from './errors.ts'
import type { Session } from './transport.ts'

export interface Credentials {
  readonly username: string
  readonly password: string
  /** The password is good for this long, and asked for again before that is over. Milliseconds. @default for ever */
  readonly expiresInMs?: number
}

/** Asked before every attempt to connect, and again when what it gave expires. What it throws is tried again. */
export type CredentialsSource = () => Credentials | Promise<Credentials>

interface Patience {
  readonly withinMs: number
  readonly clock: Clock
  readonly signal?: AbortSignal
}

/** Asks, and waits no longer than `withinMs`, nor than the signal. Rejects with `ConnectionError`, which is never fatal. */
export async function ask(source: CredentialsSource, { withinMs, clock, signal }: Patience): Promise<Credentials> {
  const late = Promise.withResolvers<never>()
  const timer = clock.after(withinMs, () => late.reject(new Error(`no answer within ${withinMs} ms`)))
  const onAbort = (): void => late.reject(signal?.reason as Error)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    // `async`, so that what is thrown at once is a rejection too.
    const answer = await Promise.race([(async () => source())(), late.promise])
    if (typeof answer?.username === 'string' && typeof answer.password === 'string') return answer
    throw new Error('it must give a username and a password')
  } catch (cause) {
    throw new ConnectionError(`The credentials function failed: ${messageOf(cause)}`, { cause })
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', onAbort)
  }
}

export function withCredentials(url: URL, { username, password }: Credentials): URL {
  const complete = new URL(url)
  complete.username = encodeURIComponent(username)
  complete.password = encodeURIComponent(password)
  return complete
}

export interface Renewal extends Patience {
  readonly session: Session
  readonly source: CredentialsSource
  readonly granted: Credentials
  readonly onFailed: (error: unknown) => void
}

/** The shortest pause before a renewal. Milliseconds. */
const RENEW_MIN_MS = 1_000

/** Tells the broker each new password before the last one expires. Does nothing where none expires or the transport cannot. */
export function keepRenewed({ session, source, granted, withinMs, clock, onFailed }: Renewal): Timer | undefined {
  if (granted.expiresInMs === undefined || session.updateSecret === undefined) return undefined
  let timer: Timer
  let over = false
  const schedule = (ms: number): void => {
    timer = clock.after(Math.max(RENEW_MIN_MS, ms), () => void renew(), { unref: true })
  }
  const renew = async (): Promise<void> => {
    let next = granted.expiresInMs! / 10
    try {
      const { password, expiresInMs } = await ask(source, { withinMs, clock })
      if (over) return
      await session.updateSecret!(password)
      if (expiresInMs === undefined) return
      next = expiresInMs * 0.8
    } catch (error) {
      if (!over) onFailed(error)
    }
    if (!over) schedule(next)
  }
  schedule(granted.expiresInMs * 0.8)
  return {
    cancel() {
      over = true
      timer.cancel()
    },
  }
}

/** The host that would get the password in clear text over a network; undefined where none does. */
export function clearTextHost(url: URL): string | undefined {
  if (!['amqp:', 'redis:', 'valkey:', 'sentinel:'].includes(url.protocol)) return undefined
  const { hostname } = url
  return hostname === '' || /^(?:localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/i.test(hostname) ? undefined : hostname
}

/** Tells once of each host to which a password would go in clear text, or throws `ConnectionError`, as the options say. */
export function clearTextGuard({ clearText, onEvent }: Required<Pick<ConnectionOptions, 'clearText' | 'onEvent'>>): (url: URL) => void {
  const told = new Set<string>()
  return (url) => {
    const host = clearText === 'allow' ? undefined : clearTextHost(url)
    if (host === undefined || told.has(host)) return
    const reason = `The password for ${host} would go over the network in clear text: use TLS (amqps://), or allow it with clearText: 'allow'`
    if (clearText === 'refuse') throw new ConnectionError(reason, { fatal: true })
    told.add(host)
    onEvent({ type: 'clear-text', reason })
  }
}
