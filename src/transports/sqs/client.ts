/** The SDK's client as a link: loaded when first used, without retries of its own, dead for good at the first call without an answer. */
import type { SQS } from '@aws-sdk/client-sqs'
import type { Clock } from '../../core/clock.ts'
import { ClosedError, ConnectionError } from '../../core/errors.ts'
import { loadPeer, type Peer } from '../../core/peer.ts'
import type { Address } from './address.ts'
import { failureOf } from './failure.ts'

export interface ClientOptions {
  readonly address: Address
  readonly connectTimeoutMs: number
  /** Of a long poll at most. Seconds. */
  readonly waitTime: number
  readonly clock: Clock
  readonly onDied: (reason: ConnectionError) => void
}

/** SQS answers everything but a long poll at once; beyond this it is gone. Milliseconds. */
const ANSWER_MS = 10_000

export const SDK: Peer = { name: '@aws-sdk/client-sqs', neededFor: 'Amazon SQS' }

/** Rejects with `MissingPeerError`. */
export async function sqsClient(options: ClientOptions): Promise<Client> {
  const { address, connectTimeoutMs, waitTime } = options
  const sdk = await loadPeer(SDK, () => import('@aws-sdk/client-sqs'))
  const { region, endpoint, credentials } = address
  const sqs = new sdk.SQS({
    maxAttempts: 1,
    // Emulators name queues by hosts that only they resolve.
    useQueueUrlAsEndpoint: endpoint === undefined,
    requestHandler: { connectionTimeout: connectTimeoutMs, requestTimeout: waitTime * 1_000 + ANSWER_MS, throwOnRequestTimeout: true },
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint, region: region ?? 'us-east-1' }),
    ...(credentials === undefined ? {} : { credentials }),
  })
  return new Client(sqs, options)
}

export class Client {
  readonly #sqs: SQS
  readonly #options: ClientOptions
  #state: 'open' | 'leaving' | 'closed' | 'dead' = 'open'
  #reason: Error | undefined
  #asked = 0
  #heardAt: number

  constructor(sqs: SQS, options: ClientOptions) {
    this.#sqs = sqs
    this.#options = options
    this.#heardAt = options.clock.monotonic()
  }

  get open(): boolean {
    return this.#state === 'open'
  }

  /** Where nothing was asked, nothing is owed: an idle link is a living one. */
  get lastHeardAt(): number {
    return this.#asked === 0 ? this.#options.clock.monotonic() : this.#heardAt
  }

  /** Rejects with `SqsFailure` where SQS says no, and with `ConnectionError` or `ClosedError` where there is no answer. */
  async call<T>(ask: (sqs: SQS) => Promise<T>): Promise<T> {
    if (this.#reason) throw this.#reason
    if (this.#asked++ === 0) this.#heardAt = this.#options.clock.monotonic()
    try {
      return await ask(this.#sqs)
    } catch (error) {
      if (this.#reason) throw this.#reason
      if (error instanceof Error && error.name === 'AbortError') throw error
      const failure = failureOf(error, this.where)
      if (failure instanceof ConnectionError && this.open) this.#die(failure)
      throw failure
    } finally {
      this.#asked--
      this.#heardAt = this.#options.clock.monotonic()
    }
  }

  /** Nobody waits for answers any more; what is still asked is asked as a courtesy. */
  leave(): void {
    if (this.#state === 'open') this.#state = 'leaving'
  }

  /** Nothing more is asked; a call under way ends without an answer. May be called twice. */
  close(): void {
    if (this.#state === 'closed') return
    this.#reason ??= new ClosedError('The SQS session is closed')
    this.#state = 'closed'
    this.#sqs.destroy()
  }

  get where(): string {
    const { endpoint, region } = this.#options.address
    return endpoint === undefined ? `SQS${region === undefined ? '' : ` in ${region}`}` : `SQS at ${endpoint}`
  }

  #die(reason: ConnectionError): void {
    this.#state = 'dead'
    this.#reason = reason
    this.#options.onDied(reason)
  }
}
