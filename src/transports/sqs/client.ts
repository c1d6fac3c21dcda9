/** The SDK's clients as a link: loaded when first used, without retries of their own, dead for good at the first call without an answer. */
import type { SNS } from '@aws-sdk/client-sns'
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

export const SQS_SDK: Peer = { name: '@aws-sdk/client-sqs', neededFor: 'Amazon SQS' }
export const SNS_SDK: Peer = { name: '@aws-sdk/client-sns', neededFor: 'supports_fanout in an sqs: URL' }

/** Rejects with `MissingPeerError`. */
export async function sqsClient(options: ClientOptions): Promise<Client> {
  const { address, connectTimeoutMs, waitTime } = options
  const { region, endpoint, credentials, sns } = address
  const settings = (at: string | undefined) => ({
    maxAttempts: 1,
    requestHandler: { connectionTimeout: connectTimeoutMs, requestTimeout: waitTime * 1_000 + ANSWER_MS, throwOnRequestTimeout: true },
    ...(region === undefined ? {} : { region }),
    ...(at === undefined ? {} : { endpoint: at, region: region ?? 'us-east-1' }),
    ...(credentials === undefined ? {} : { credentials }),
  })
  const { SQS } = await loadPeer(SQS_SDK, () => import('@aws-sdk/client-sqs'))
  const { SNS } = sns ? await loadPeer(SNS_SDK, () => import('@aws-sdk/client-sns')) : {}
  // Emulators name queues by hosts that only they resolve.
  const queues = new SQS({ ...settings(endpoint), useQueueUrlAsEndpoint: endpoint === undefined })
  return new Client(queues, SNS && new SNS(settings(sns?.endpoint)), options)
}

export class Client {
  readonly #sqs: SQS
  readonly #sns: SNS | undefined
  readonly #options: ClientOptions
  #state: 'open' | 'leaving' | 'closed' | 'dead' = 'open'
  #reason: Error | undefined
  #asked = 0
  #heardAt: number

  /** `sns` where the address says so. */
  constructor(sqs: SQS, sns: SNS | undefined, options: ClientOptions) {
    this.#sqs = sqs
    this.#sns = sns
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
  call<T>(ask: (sqs: SQS) => Promise<T>): Promise<T> {
    return this.#answered(() => ask(this.#sqs), this.where)
  }

  /** As `call`. Only where the address has SNS. */
  callSns<T>(ask: (sns: SNS) => Promise<T>): Promise<T> {
    return this.#answered(() => ask(this.#sns!), whereIs('SNS', this.#options.address.sns?.endpoint, this.#options.address.region))
  }

  async #answered<T>(ask: () => Promise<T>, where: string): Promise<T> {
    if (this.#reason) throw this.#reason
    if (this.#asked++ === 0) this.#heardAt = this.#options.clock.monotonic()
    try {
      return await ask()
    } catch (error) {
      if (this.#reason) throw this.#reason
      if (error instanceof Error && error.name === 'AbortError') throw error
      const failure = failureOf(error, where)
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
    this.#sns?.destroy()
  }

  get where(): string {
    return whereIs('SQS', this.#options.address.endpoint, this.#options.address.region)
  }

  #die(reason: ConnectionError): void {
    this.#state = 'dead'
    this.#reason = reason
    this.#options.onDied(reason)
  }
}

function whereIs(service: string, endpoint: string | undefined, region: string | undefined): string {
  if (endpoint !== undefined) return `${service} at ${endpoint}`
  return region === undefined ? service : `${service} in ${region}`
}
