import { CodecError, messageOf } from '../../core/errors.ts'
import type { Outgoing, PublishResult } from '../../core/message.ts'
import { openEnvelope } from './envelope.ts'
import { explain, topologyError, wordOf } from './errors.ts'
import type { Reply } from './client.ts'
import type { Link } from './link.ts'
import { readRoutes, type Route } from './routes.ts'

type Settled = (message: Outgoing, result: PublishResult) => void

interface Entry {
  readonly message: Outgoing
  readonly settled: Settled
  readonly text: string
}

interface Call {
  readonly entries: readonly Entry[]
  /** Bindings have changed: nothing of it was done. */
  rejected: boolean
  answered: boolean
}

export interface PublisherOptions {
  readonly link: Link
  readonly sep: string
  /** Before the name of a fanout exchange's channel; undefined where Kombu's subscribers are not told. */
  readonly fanoutPrefix: string | undefined
  /** What is larger is not said on a channel. Bytes. */
  readonly channelMax: () => number
  readonly onNotSaid: (exchange: string, bytes: number) => void
  /** Numbers for so many messages, that no other of the session has; the first of them. */
  readonly numbers: (count: number) => number
}

/** A script holds up all others while it runs, so it is given so much at a time. */
const MESSAGES_PER_CALL = 200
/** In base64, with as much beside it as is usual, this is what Redis takes (`proto-max-bulk-len`), and what fits into one text of V8. Bytes. */
const BODY_MAX = 380_000_000
/** Redis counts more than the message: its ends, and what else waits for whoever listens. Bytes. */
const SAID_BESIDE = 2 << 20
/** One runs while the next is on its way; what comes meanwhile goes together. */
const CALLS_IN_FLIGHT = 2

/** No fingerprint: the exchange is to be looked at. */
const UNKNOWN = '?'

const ROUTED: PublishResult = Object.freeze({ status: 'confirmed', routed: true })
const UNROUTED: PublishResult = Object.freeze({ status: 'confirmed', routed: false })
const FULL: PublishResult = Object.freeze({ status: 'nacked', reason: 'a queue that rejects when full is full' })

/** Publishes in batches. A batch whose bindings have changed meanwhile is sent again, in its place. */
export class Publisher {
  readonly #options: PublisherOptions
  readonly #routes = new Map<string, Route>()
  #waiting: Entry[] = []
  #calls: Call[] = []
  /** Nothing more is sent until all under way are answered, since one of them is to be sent again before. */
  #holding = false
  /** Of what is sent; batches behind one that was not done have its own, and are not done either. */
  #epoch = 0
  readonly #id: number
  #idle: PromiseWithResolvers<void> | undefined

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#id = options.numbers(1)
  }

  publish(messages: readonly Outgoing[], settled: Settled): void {
    for (const message of messages) {
      try {
        const { byteLength } = message.body
        if (byteLength > BODY_MAX) throw new CodecError(`its body of ${byteLength} bytes is more than the ${BODY_MAX} that Redis takes`)
        this.#waiting.push({ message, settled, text: openEnvelope(message) })
      } catch (error) {
        if (!(error instanceof CodecError)) throw error
        const { message: reason } = error
        // Later, since whoever called may not be ready for a result yet.
        queueMicrotask(() => settled(message, { status: 'refused', reason }))
      }
    }
    this.#pump()
  }

  /** Resolves when all that was sent is answered; what waits is not sent any more. */
  async close(): Promise<void> {
    this.#waiting = []
    await this.#idle?.promise
  }

  #pump(): void {
    while (!this.#holding && this.#waiting.length > 0 && this.#calls.length < CALLS_IN_FLIGHT && this.#options.link.open) this.#send()
    if (this.#calls.length > 0) this.#idle ??= Promise.withResolvers()
    else {
      this.#idle?.resolve()
      this.#idle = undefined
    }
  }

  #send(): void {
    const { link } = this.#options
    const { up } = link.pace
    let bytes = 0
    let count = 0
    while (count < MESSAGES_PER_CALL && count < this.#waiting.length && (bytes === 0 || bytes < up.bytes)) {
      bytes += this.#waiting[count++]!.text.length
    }
    const entries = this.#waiting.splice(0, count)
    const call: Call = { entries, rejected: false, answered: false }
    this.#calls.push(call)
    up.carry(
      () => link.run('publish', this.#plan(entries), ...entries.map(({ text }) => text)),
      () => bytes,
    )
      .then(
        (reply) => this.#answered(call, reply),
        (error: unknown) => this.#failed(call, error),
      )
      .finally(() => this.#done(call))
  }

  /** What `lua/publish.ts` wants to know. */
  #plan(entries: readonly Entry[]): string {
    const exchanges = new Map<string, string>()
    const queues = new Map<string, number>()
    const indexOf = (queue: string): number => {
      const known = queues.get(queue)
      if (known !== undefined) return known
      queues.set(queue, queues.size + 1)
      return queues.size
    }
    const messages = entries.map(({ message: { exchange, routingKey, properties }, text }) => {
      const { priority = '', headers } = properties
      // 0 is never.
      const expirationMs = properties.expirationMs === undefined ? 0 : Math.max(1, properties.expirationMs)
      if (exchange === '') return ['direct', expirationMs, priority, [indexOf(routingKey)]]
      const route = this.#routes.get(exchange)
      exchanges.set(exchange, route?.fingerprint ?? UNKNOWN)
      const found = (route?.router.route(routingKey, headers) ?? []).map(indexOf)
      if (route?.type !== 'fanout') return ['bound', expirationMs, priority, found]
      return ['fanout', expirationMs, priority, found, ...this.#channel(exchange, routingKey, text.length)]
    })
    const first = this.#options.numbers(entries.length)
    return JSON.stringify({
      exchanges: [...exchanges],
      queues: [...queues.keys()],
      messages,
      first,
      publisher: this.#id,
      epoch: this.#epoch,
    })
  }

  #channel(exchange: string, routingKey: string, bytes: number): string[] {
    const { channelMax, fanoutPrefix, onNotSaid } = this.#options
    if (fanoutPrefix === undefined) return []
    if (bytes > channelMax() - SAID_BESIDE) {
      onNotSaid(exchange, bytes)
      return []
    }
    return [`${fanoutPrefix}${exchange}${routingKey === '' ? '' : `/${routingKey}`}`]
  }

  #answered(call: Call, reply: Reply): void {
    const answers = reply as readonly Reply[]
    if (answers[0] === 'stale') {
      call.rejected = true
      this.#holding = true
      for (const [name, route] of readRoutes(this.#options.sep, answers[1] as readonly Reply[])) this.#routes.set(name, route)
      return
    }
    for (const [i, { message, settled }] of call.entries.entries()) settled(message, resultOf(answers[i]!))
  }

  #failed(call: Call, error: unknown): void {
    const word = wordOf(error)
    const refusal = word === 'OOM' || word === 'MISCONF' ? 'nacked' : topologyError(error) ? 'refused' : undefined
    if (refusal === undefined) return void this.#options.link.verdict(error)
    const reason = explain(error)
    for (const { message, settled } of call.entries) settled(message, { status: refusal, reason })
  }

  #done(call: Call): void {
    call.answered = true
    if (!this.#holding) this.#calls = this.#calls.filter((other) => other !== call)
    else if (this.#calls.every(({ answered }) => answered)) {
      const again = this.#calls.filter(({ rejected }) => rejected).flatMap(({ entries }) => entries)
      this.#calls = []
      this.#holding = false
      this.#epoch++
      this.#waiting = [...again.filter((entry) => this.#mayGo(entry)), ...this.#waiting]
      // Somebody may make them later.
      for (const [name, { fingerprint }] of this.#routes) if (fingerprint === '') this.#routes.delete(name)
    }
    this.#pump()
  }

  /** A message to an exchange that is not there is refused. */
  #mayGo({ message, settled }: Entry): boolean {
    const { exchange } = message
    if (exchange === '' || this.#routes.get(exchange)?.fingerprint !== '') return true
    settled(message, { status: 'refused', reason: `there is no exchange "${exchange}" (404)` })
    return false
  }
}

function resultOf(answer: Reply): PublishResult {
  if (typeof answer === 'number') return answer > 0 ? ROUTED : answer === 0 ? UNROUTED : FULL
  return { status: 'refused', reason: messageOf(answer) }
}
