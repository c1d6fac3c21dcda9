/**
 * Events in step with a database: written in the transaction of the business, and sent once that is committed, by one process at a time,
 * as often as it takes. So there is no event of what was rolled back, and none is missing of what was not.
 */
import { type Clock, sleep } from '../core/clock.ts'
import { CodecError, ConfigError, messageOf, PublishError } from '../core/errors.ts'
import { show } from '../core/options.ts'
import type { PublishEventOptions } from './consume.ts'
import { type EventProperties, propertiesOf } from './envelope.ts'
import { type Event, validate } from './event.ts'

/** `Transaction` is what the business writes through: a client of the database, or an ORM's object for it. */
export interface Outbox<Transaction> {
  /** Writes the text in this transaction, to be relayed once it is committed. */
  add(transaction: Transaction, message: string): Promise<void>
  /**
   * Gives `send` the texts that were added first, some hundreds at most and in that order, and resolves with their number when those
   * that are `sent` are gone for good, and those `refused` are put aside. Resolves with 0 where there is none, and where another process is
   * at it. Rejects where the database cannot be used. What was sent and could not be removed is given again.
   */
  relay(send: (messages: readonly string[]) => Promise<readonly Relayed[]>): Promise<number>
}

/** `kept` for another try, `refused` for good. */
export type Relayed = 'sent' | 'kept' | 'refused'

export interface OutboxPublishOptions extends Pick<PublishEventOptions, 'correlationId' | 'delayMs' | 'expirationMs' | 'priority'> {
  /** @default a random UUID */
  readonly id?: string
  readonly headers?: Readonly<Record<string, string | number | boolean>>
}

/** What `bus.outbox()` makes. */
export interface OutboxPublisher<Transaction> {
  /**
   * Resolves when the event is written in `transaction`, whose commit is what sends it. Rejects with `ValidationError`, with
   * `ConfigError` for what JSON cannot hold, and as the database does.
   */
  publish<Input>(
    transaction: Transaction,
    event: Event<Input, unknown>,
    data: NoInfer<Input>,
    options?: OutboxPublishOptions,
  ): Promise<{ readonly id: string }>
}

/** What is written. */
interface Stored extends EventProperties {
  readonly data: unknown
}

export interface RelayOptions {
  readonly outbox: Outbox<never>
  /** Resolves when the broker has it. Rejects with `PublishError`, `CodecError`, `ClosedError`. */
  readonly publish: (properties: EventProperties, data: unknown) => Promise<unknown>
  /** Told of what keeps events from being sent, and of each that never will be. */
  readonly onFailure: (failure: RelayFailure) => void
  readonly clock: Clock
}

export interface RelayFailure {
  readonly error: unknown
  /** The event that is put aside for good; undefined where all are tried again. */
  readonly refused?: string
}

/** Between looks at an outbox that had nothing for us. Milliseconds. */
const LOOK_EVERY_MS = 250
/** Longest pause after failures. Milliseconds. */
const MAX_PAUSE_MS = 30_000

/** Looks into an outbox until it is stopped, and then once more. */
export class Relay {
  readonly #options: RelayOptions
  readonly #stopping = new AbortController()
  readonly #running: Promise<void>

  constructor(options: RelayOptions) {
    this.#options = options
    this.#running = this.#run()
  }

  /** Resolves when what was committed before has been sent, or could not be. May be called twice. */
  stop(): Promise<void> {
    this.#stopping.abort()
    return this.#running
  }

  async #run(): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#stopping
    for (let failures = 0; ;) {
      const isLast = signal.aborted
      const outcome = await this.#look()
      if (outcome === 'sent') continue
      if (isLast) return
      failures = outcome === 'failed' ? failures + 1 : 0
      const pause = Math.min(MAX_PAUSE_MS, LOOK_EVERY_MS * 2 ** Math.min(failures, 20))
      // Not in step with those of other processes.
      await sleep(pause / 2 + Math.random() * (pause / 2), { clock, signal, unref: true }).catch(() => undefined)
    }
  }

  async #look(): Promise<'sent' | 'nothing' | 'failed'> {
    const { outbox, onFailure } = this.#options
    const failures: RelayFailure[] = []
    const send = async (messages: readonly string[]): Promise<readonly Relayed[]> =>
      Promise.all(messages.map((message) => this.#send(message, (failure) => failures.push(failure))))
    try {
      const given = await outbox.relay(send)
      for (const failure of failures.filter(({ refused }) => refused !== undefined)) onFailure(failure)
      const kept = failures.find(({ refused }) => refused === undefined)
      // They fail together, of one cause.
      if (kept) throw kept.error
      return given > 0 ? 'sent' : 'nothing'
    } catch (error) {
      onFailure({ error })
      return 'failed'
    }
  }

  async #send(message: string, onFailure: (failure: RelayFailure) => void): Promise<Relayed> {
    let stored: Stored
    try {
      stored = JSON.parse(message) as Stored
    } catch (error) {
      onFailure({ error, refused: show(message) })
      return 'refused'
    }
    const { data, ...properties } = stored
    try {
      await this.#options.publish(properties, data)
      return 'sent'
    } catch (error) {
      // Too large, say: no later try would change that.
      const isFinal = error instanceof CodecError || (error instanceof PublishError && error.reason === 'refused')
      onFailure({ error, ...(isFinal && { refused: properties.messageId }) })
      return isFinal ? 'refused' : 'kept'
    }
  }
}

/** The text of an event. Throws `ValidationError` and `ConfigError`. */
export async function storedText<Input>(
  event: Event<Input, unknown>,
  data: Input,
  { source, now, options }: { source: string; now: number; options: OutboxPublishOptions },
): Promise<{ id: string; text: string }> {
  await validate(event, data)
  const properties = propertiesOf(event as Event<never, unknown>, source, now, options)
  return { id: properties.messageId, text: jsonOf(event.type, { ...properties, data }) }
}

function jsonOf(type: string, stored: Stored): string {
  const refuse = (got: string, cause?: unknown): never => {
    throw new ConfigError(`publish(${type})`, [{ path: 'data', expected: 'what JSON can hold', got }], { cause })
  }
  if (stored.data === undefined || ArrayBuffer.isView(stored.data)) return refuse(show(stored.data))
  try {
    return JSON.stringify(stored)
  } catch (error) {
    return refuse(messageOf(error), error)
  }
}
