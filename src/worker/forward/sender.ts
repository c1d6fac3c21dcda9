/** Sends messages to one URL, and says what its answers mean. */
import { readFileSync } from 'node:fs'
import { Agent as HttpAgent, type AgentOptions } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { ResolvedForward } from '../../config/forward.ts'
import { type Call, exchange, type Exchanged, isSuccess } from './exchange.ts'
import { checkedLookup } from './lookup.ts'
import { whyNoConnection } from './reach.ts'

export type Answer =
  | { readonly type: 'accepted' }
  /** Try again, not before `afterMs` where the target has asked for that. */
  | { readonly type: 'failed'; readonly reason: string; readonly afterMs?: number }
  /** Trying again would change nothing. */
  | { readonly type: 'refused'; readonly reason: string }
  /** Nobody is there, or nobody that may be sent to: nothing was sent. */
  | { readonly type: 'unreachable'; readonly reason: string }

export interface Sender {
  /** Never rejects. Aborting ends it as failed. */
  send(headers: Readonly<Record<string, string>>, body: Uint8Array, signal: AbortSignal): Promise<Answer>
  /** Why nothing should be sent now, if so: no connection comes about, or `ready` has no good answer. Never rejects. */
  whyNotReady(signal: AbortSignal): Promise<string | undefined>
  /** What `ready` answers, if that is not good; no answer is none, since a target may be at work on all it can take. Never rejects. */
  saysNotReady(signal: AbortSignal): Promise<string | undefined>
  close(): void
}

/** Longest that a target can make a message wait. Milliseconds. */
const MAX_RETRY_AFTER_MS = 3_600_000
const PROBE_MS = 2_000

/** Throws where `ca` cannot be read. */
export function createSender(settings: ResolvedForward): Sender {
  const { to, ready, ca: file, concurrency, timeoutMs, token, allowPrivate } = settings
  const target = new URL(to)
  const readyUrl = ready === undefined ? undefined : new URL(ready)
  const ca = file === undefined ? {} : { ca: readFileSync(file) }
  const agentOf = ({ protocol }: URL, options: AgentOptions): HttpAgent =>
    protocol === 'https:' ? new HttpsAgent({ ...options, ...ca }) : new HttpAgent(options)
  const pool = agentOf(target, { keepAlive: true, maxSockets: concurrency })
  const lookup = checkedLookup(target, allowPrivate)
  const own = { 'user-agent': 'omnibus', ...(token !== undefined && { authorization: `Bearer ${token}` }) }
  /** What is wrong with what `ready` says, and whether it says anything; undefined where all is well. */
  const askReady = async (signal: AbortSignal): Promise<{ readonly why: string; readonly said: boolean } | undefined> => {
    if (!readyUrl) return undefined
    const call = { url: readyUrl, method: 'GET' as const, headers: own, agent: agentOf(readyUrl, {}), timeoutMs: PROBE_MS, signal }
    const result = await exchange({ ...call, lookup: checkedLookup(readyUrl, allowPrivate) })
    if ('error' in result) return { why: `${readyUrl.href}: ${result.error}`, said: false }
    return result.status >= 200 && result.status < 400 ? undefined : { why: `${readyUrl.href} answers ${result.status}`, said: true }
  }
  return {
    async send(headers, body, signal) {
      const all = { ...headers, ...own, 'content-length': String(body.byteLength) }
      const call: Call = { url: target, method: 'POST', headers: all, body, agent: pool, lookup, timeoutMs, signal }
      const first = await exchange(call)
      // A server may close a connection that rests in the moment it is used again, and has then read nothing most often.
      const isStale = 'error' in first && first.stale && !signal.aborted
      return meaningOf(isStale ? await exchange({ ...call, agent: agentOf(target, {}) }) : first, token)
    },
    async whyNotReady(signal) {
      const why = await whyNoConnection({ url: target, lookup, ...ca, deadlineMs: PROBE_MS, signal })
      return why ?? (await askReady(signal))?.why
    },
    async saysNotReady(signal) {
      const bad = await askReady(signal)
      return bad?.said ? bad.why : undefined
    },
    close: () => pool.destroy(),
  }
}

function meaningOf(result: Exchanged, token: string | undefined): Answer {
  if ('error' in result) return { type: result.sent ? 'failed' : 'unreachable', reason: result.error }
  const { status, retryAfter } = result
  if (isSuccess(result)) return { type: 'accepted' }
  // Pages for whoever debugs a server show what it was sent.
  const text = token === undefined ? result.text : result.text.replaceAll(token, '***')
  const reason = `it answers ${status}${text === '' ? '' : `: ${text}`}`
  if (status >= 300 && status < 400) return { type: 'failed', reason: `${reason}; redirects are not followed` }
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) return { type: 'refused', reason }
  const afterMs = retryAfterMs(retryAfter, Date.now())
  return { type: 'failed', reason, ...(afterMs !== undefined && { afterMs }) }
}

/** RFC 9110 §10.2.3: seconds, or a date. */
export function retryAfterMs(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isNaN(ms) ? undefined : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, ms))
}
