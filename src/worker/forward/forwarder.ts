/**
 * Sends the messages of a queue to a URL: acked when it has taken them. It is subscribed only while the target can be reached, so that
 * messages wait in their queue, and in that of somebody whose target is well, instead of running out of attempts here.
 */
import type { Bus } from '../../bus/bus.ts'
import { ANY_TYPE, consume, type ConsumerDefinition, type HandlerContext } from '../../bus/consume.ts'
import { idOf } from '../../bus/envelope.ts'
import { Reject, RetryAfter } from '../../bus/outcome.ts'
import { exponential } from '../../bus/retry.ts'
import type { RunningConsumer } from '../../bus/running-consumer.ts'
import type { ResolvedForward } from '../../config/forward.ts'
import { sleep, systemClock } from '../../core/clock.ts'
import { decompress } from '../../core/codec-compression.ts'
import type { Delivery } from '../../core/delivery.ts'
import { HandlerError } from '../../core/errors.ts'
import type { Log } from '../log.ts'
import { untilConnected } from '../resources.ts'
import { headOf } from './request-head.ts'
import { type Answer, createSender } from './sender.ts'
import { signatureOf } from './signature.ts'

export interface ForwarderOptions {
  readonly settings: ResolvedForward
  readonly bus: Bus
  readonly log: Log
  /** How long what is in hand waits for a target that is away before it goes back. Milliseconds. @default 10_000 */
  readonly holdMs?: number
}

export interface Forwarder {
  readonly definition: ConsumerDefinition
  /** At work now, or last; undefined before the target was reached for the first time. */
  readonly running: RunningConsumer | undefined
  readonly subscribed: boolean
  /** Resolves when it was stopped. Rejects with `TopologyError`. */
  run(): Promise<void>
  /** Fetches no more, lets requests under way end, and resolves by the deadline with the number of messages given back. */
  stop(deadlineMs: number): Promise<number>
}

/** A restart of the target takes no longer, most often; then what is held goes back to the queue. Milliseconds. */
const HOLD_MS = 10_000
/** So often in that time a target is asked whether it is ready. */
const READY_CHECKS = 5
const AGAIN_MIN_MS = 100
const AGAIN_MAX_MS = 2_000
/** No code that could take the process down runs here: what the broker counts are its own restarts and outages of the target. */
const MAX_DEATHS = 20
const MAX_UNPACKED_BYTES = 16 * 1024 * 1024

export function createForwarder({ settings, bus, log, holdMs = HOLD_MS }: ForwarderOptions): Forwarder {
  const { to, queue, concurrency, ordered, ready, secret, timeoutMs } = settings
  const retry = exponential(settings.retry)
  const sender = createSender(settings)
  const stopping = new AbortController()
  /** Aborts when what is held for an unreachable target is to go back. */
  let pausing = new AbortController()
  let running: RunningConsumer | undefined
  let subscribed = false
  /** Requests that had no answer by the deadline of a stop. */
  let cutOff = 0
  let awaySince: number | undefined
  let gone = Promise.withResolvers<void>()

  const attemptOnce = (delivery: Delivery, attempt: number, body: Uint8Array, signal: AbortSignal): Promise<Answer> => {
    const head = headOf(delivery, attempt)
    const signature = secret === undefined ? {} : signatureOf(secret, head['ce-id'], systemClock.wall(), body)
    return sender.send({ ...head, ...signature }, body, signal)
  }

  const missed = (reason: string): void => {
    if (awaySince === undefined) log.write('warn', `${to} cannot be reached: ${reason}`)
    awaySince ??= systemClock.monotonic()
    // What is in order can be given back by an end of the connection alone.
    if (!ordered && systemClock.monotonic() - awaySince > holdMs) gone.resolve()
  }
  const reached = (): void => {
    if (awaySince !== undefined) log.write('info', `${to} can be reached again`)
    awaySince = undefined
  }

  /** Gives the message back where it has to wait no longer. */
  const hold = async (delivery: Delivery, ms: number, signal: AbortSignal, reason: string): Promise<void> => {
    try {
      await sleep(ms, { signal: AbortSignal.any([signal, pausing.signal]) })
    } catch {
      if (!signal.aborted) await delivery.release()
      throw new HandlerError(`${to}: ${reason}; given back`)
    }
  }

  const handle = async (delivery: Delivery, { attempt: first, signal }: HandlerContext): Promise<void> => {
    const body = unpacked(delivery)
    let againMs = AGAIN_MIN_MS
    for (let attempt = first; ;) {
      const answer = await attemptOnce(delivery, attempt, body, signal)
      if (signal.aborted && answer.type !== 'accepted') cutOff++
      if (answer.type === 'unreachable') {
        missed(answer.reason)
        await hold(delivery, againMs, signal, answer.reason)
        againMs = Math.min(2 * againMs, AGAIN_MAX_MS)
        continue
      }
      reached()
      if (answer.type === 'accepted') return
      const reason = `${to}: ${answer.reason}`
      if (answer.type === 'refused') throw new Reject(reason)
      const afterMs = Math.max(answer.afterMs ?? 0, retry.delayMs(attempt))
      if (!ordered) throw answer.afterMs === undefined ? new HandlerError(reason) : new RetryAfter(afterMs, reason)
      if (attempt >= retry.attempts) throw new Reject(`given up after ${attempt} attempts: ${reason}`)
      log.write('warn', `${delivery.queue} waits for ${idOf(delivery)}, since ${reason}`, { attempt })
      await hold(delivery, afterMs, signal, answer.reason)
      attempt++
    }
  }

  const definition = consume(queue, { concurrency, retry, maxDeaths: MAX_DEATHS }, { type: ANY_TYPE, run: handle })

  const untilReady = async (): Promise<void> => {
    for (let againMs = AGAIN_MIN_MS; ; againMs = Math.min(2 * againMs, AGAIN_MAX_MS)) {
      const why = await sender.whyNotReady(stopping.signal)
      stopping.signal.throwIfAborted()
      if (why === undefined) return
      if (againMs === AGAIN_MIN_MS) log.write('info', `nothing is fetched from ${queue.name} until ${to} is ready: ${why}`)
      await sleep(againMs, { signal: stopping.signal })
    }
  }

  /** Resolves `gone` when the target has said for so long that it is not ready, and ends with the pause. */
  const watchReadiness = async (signal: AbortSignal): Promise<void> => {
    let unreadySince: number | undefined
    while (!signal.aborted) {
      await sleep(holdMs / READY_CHECKS, { signal }).catch(() => undefined)
      const why = await sender.saysNotReady(signal)
      if (signal.aborted) return
      const now = systemClock.monotonic()
      unreadySince = why === undefined ? undefined : (unreadySince ?? now)
      if (unreadySince === undefined || now - unreadySince < holdMs) continue
      log.write('warn', `${to} is not ready any more: ${why}`)
      return gone.resolve()
    }
  }

  const fetchWhileReachable = async (): Promise<void> => {
    await untilReady()
    reached()
    pausing = new AbortController()
    gone = Promise.withResolvers()
    running = await untilConnected(() => bus.consume(definition))
    subscribed = true
    log.write('info', `sends ${queue.name} to ${to}`)
    // What is in order stays in hand, see `missed`.
    if (ready !== undefined && !ordered) void watchReadiness(pausing.signal)
    await gone.promise
    subscribed = false
    if (stopping.signal.aborted) return
    log.write('warn', `nothing is fetched from ${queue.name} any more, and what was held goes back`)
    pausing.abort()
    await running.stop({ deadlineMs: timeoutMs + holdMs })
  }

  return {
    definition,
    get running() {
      return running
    },
    get subscribed() {
      return subscribed && running?.subscribed === true
    },
    async run() {
      try {
        while (!stopping.signal.aborted) await fetchWhileReachable()
      } catch (error) {
        if (!stopping.signal.aborted) throw error
      }
    },
    async stop(deadlineMs) {
      stopping.abort()
      pausing.abort()
      gone.resolve()
      const left = (await running?.stop({ deadlineMs })) ?? 0
      sender.close()
      return left + cutOff
    },
  }
}

/** What Kombu has compressed by its own header, which no web framework knows. Throws `CodecError`. */
function unpacked({ body, properties: { headers } }: Delivery): Uint8Array {
  const compression = headers?.['compression']
  return compression === undefined || compression === null ? body : decompress(body, compression, MAX_UNPACKED_BYTES)
}
