/** A transport whose broker is the test itself: it decides when a session opens, what it answers and when it dies. */
import { ConnectionError } from '../../src/core/errors.ts'
import type { Outgoing, PublishResult } from '../../src/core/message.ts'
import type {
  AnswerHandlers,
  Incoming,
  OpenOptions,
  Requester,
  Session,
  Settlement,
  SubscribeOptions,
  Transport,
} from '../../src/core/transport.ts'

export interface Sent {
  readonly message: Outgoing
  answer(result: PublishResult): void
}

export class ScriptedSession implements Session {
  readonly options: OpenOptions
  readonly sent: Sent[] = []
  /** Requests; none are taken where the broker cannot send answers straight back. */
  readonly requested: Sent[] = []
  readonly requests?: (handlers: AnswerHandlers) => Requester
  readonly declared: string[] = []
  readonly subscriptions: SubscribeOptions[] = []
  readonly settled: [string, Settlement][] = []
  readonly secrets: string[] = []
  dead = false
  closed = false
  /** It never answers what is declared. */
  stalled = false
  lastHeardAt = 0

  constructor(options: OpenOptions, directReply: boolean) {
    this.options = options
    if (directReply) this.requests = () => ({ publish: (messages, settled) => keep(this.requested, messages, settled) })
  }

  die(message = 'the link broke'): void {
    this.dead = true
    this.options.handlers.died(new ConnectionError(message))
  }

  deliver(body: string, overrides: Partial<Incoming> = {}): void {
    const incoming: Incoming = {
      body: Buffer.from(body),
      properties: { contentType: 'text/plain' },
      exchange: '',
      routingKey: 'q',
      queue: 'q',
      redelivered: false,
      deliveryCount: undefined,
      settle: (settlement) => (this.settled.push([body, settlement]), !this.dead),
      ...overrides,
    }
    this.subscriptions.at(-1)!.onDelivery(incoming)
  }

  async declareExchange({ name }: { name: string }): Promise<void> {
    if (this.stalled) await new Promise(() => undefined)
    this.declared.push(name)
  }

  async declareQueue({ name }: { name: string }) {
    this.declared.push(name)
    return { name: name || 'amq.gen-1', messages: 0, consumers: 0 }
  }

  publish(messages: readonly Outgoing[], settled: (message: Outgoing, result: PublishResult) => void): void {
    keep(this.sent, messages, settled)
  }

  async subscribe(options: SubscribeOptions) {
    this.subscriptions.push(options)
    return { cancel: async () => undefined }
  }

  async updateSecret(secret: string): Promise<void> {
    this.secrets.push(secret)
  }

  async unbind(): Promise<void> {}
  async get(): Promise<undefined> {}
  async inspect(name: string) {
    return { name, messages: 0, consumers: 0 }
  }
  async purge(): Promise<number> {
    return 0
  }
  async deleteQueue(): Promise<void> {}
  async deleteExchange(): Promise<void> {}
  async close(): Promise<void> {
    this.closed = true
  }
  destroy(): void {
    this.dead = true
  }
}

function keep(sent: Sent[], messages: readonly Outgoing[], settled: (message: Outgoing, result: PublishResult) => void): void {
  for (const message of messages) sent.push({ message, answer: (result) => settled(message, result) })
}

export class ScriptedTransport implements Transport {
  readonly name = 'scripted'
  readonly capabilities = {
    exchangeTypes: ['direct', 'topic', 'fanout', 'headers'],
    priorities: true,
    messageTtl: true,
    deadLetterExchange: true,
    deliveryCount: true,
    exclusiveQueues: true,
    routedKnown: true,
    directReply: false,
  }
  /** Sessions in the order they were opened, of both links. */
  readonly sessions: ScriptedSession[] = []
  /** Errors for the next attempts to open, in order; undefined lets one through. */
  readonly refusals: (ConnectionError | undefined)[] = []
  readonly tried: string[] = []
  /** Sessions opened from now on are stalled. */
  stalled = false

  async open(options: OpenOptions): Promise<Session> {
    this.tried.push(options.url.host)
    const refusal = this.refusals.shift()
    if (refusal) throw refusal
    const session = new ScriptedSession(options, this.capabilities.directReply)
    session.stalled = this.stalled
    this.sessions.push(session)
    return session
  }

  /** The newest session of the publishing or the consuming link. */
  of(purpose: 'publish' | 'consume'): ScriptedSession | undefined {
    return this.sessions.findLast((session) => session.options.name.includes(purpose))
  }
}
