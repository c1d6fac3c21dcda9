import { type OmnibusError, ProtocolError, TopologyError } from '../../core/errors.ts'
import type { MessageProperties } from '../../core/message.ts'
import { type Content, ContentAssembler } from '../content.ts'
import type { FrameWriter } from '../frame-writer.ts'
import { FRAME } from '../frames.ts'
import { decodeMethod } from '../method-codec.ts'
import type { Method, MethodArgs, MethodInput, MethodName } from '../methods.ts'
import { REPLY } from '../reply-codes.ts'
import type { StringCache } from '../string-cache.ts'

/** Methods that a client calls and the broker answers with `…-ok`. */
export type CallName = {
  [N in MethodName]: `${N}-ok` extends MethodName ? (N extends `connection.${string}` | 'channel.close' | 'basic.get' ? never : N) : never
}[MethodName]

export type ReplyOf<N extends CallName> = `${N}-ok` extends MethodName ? MethodArgs<`${N}-ok`> : never

export interface Fetched {
  readonly args: MethodArgs<'basic.get-ok'>
  readonly content: Content
}

/** What the broker says unasked. All are called synchronously while reading, and must not throw. */
export interface ChannelHandlers {
  deliver?(args: MethodArgs<'basic.deliver'>, content: Content): void
  returned?(args: MethodArgs<'basic.return'>, content: Content): void
  /** A publisher confirm: `taken` is false for a nack. */
  confirmed?(deliveryTag: number, multiple: boolean, taken: boolean): void
  /** The broker ended a consumer. */
  cancelled?(): void
  /** The broker closed the channel, but the connection lives on. Not called when the connection dies. */
  closed?(reason: TopologyError): void
}

/** What a channel needs of its connection. */
export interface ChannelHost {
  readonly writer: FrameWriter
  readonly cache: StringCache
  readonly bodyMax: number
  /** The number can be used again. */
  released(id: number): void
}

interface Call {
  readonly replies: readonly MethodName[]
  resolve(method: Method, content: Content | undefined): void
  reject(error: OmnibusError): void
}

/**
 * One channel. Calls may be made without waiting for one another; the broker answers in order. A channel error rejects the
 * call it answers, and all after it, with `TopologyError`.
 */
export class Channel {
  readonly id: number
  readonly #host: ChannelHost
  readonly #handlers: ChannelHandlers
  readonly #assembler: ContentAssembler
  readonly #calls: Call[] = []
  #state: 'open' | 'closing' | 'closed' = 'open'
  #error: OmnibusError | undefined
  /** The method whose content is being received. */
  #carrier: Method | undefined

  constructor(host: ChannelHost, id: number, handlers: ChannelHandlers) {
    this.id = id
    this.#host = host
    this.#handlers = handlers
    this.#assembler = new ContentAssembler(host.bodyMax)
  }

  get open(): boolean {
    return this.#state === 'open'
  }

  /** Remembers the strings that repeat from message to message. */
  get strings(): StringCache {
    return this.#host.cache
  }

  /** Rejects with `TopologyError` (channel error), `ConnectionError` (connection gone) or `CodecError` (cannot be sent). */
  call<N extends CallName>(name: N, args: MethodInput<N>): Promise<ReplyOf<N>> {
    return this.#call(name, args, [`${name}-ok` as MethodName], (method) => method.args as ReplyOf<N>)
  }

  /** Fetches one message; undefined when the queue is empty. Rejects as `call`. */
  get(queue: string): Promise<Fetched | undefined> {
    return this.#call('basic.get', { queue }, ['basic.get-ok', 'basic.get-empty'], (method, content) =>
      method.name === 'basic.get-ok' && content ? { args: method.args, content } : undefined,
    )
  }

  /** Sends a method that has no answer. Ignored on a channel that is not open. Throws `CodecError`. */
  send<N extends MethodName>(name: N, args: MethodInput<N>): void {
    if (this.#state === 'open') this.#host.writer.method(this.id, name, args)
  }

  /** Throws `CodecError` when the wire cannot hold it, and then nothing was sent. */
  publish(args: MethodInput<'basic.publish'>, properties: MessageProperties, body: Uint8Array): void {
    if (this.#state === 'open') this.#host.writer.content(this.id, 'basic.publish', args, properties, body)
  }

  /** Closes it from our side; what the broker still sends is ignored, and calls under way are rejected. */
  close(): void {
    if (this.#state !== 'open') return
    this.send('channel.close', { replyCode: REPLY.success, replyText: '', classId: 0, methodId: 0 })
    this.#state = 'closing'
    this.#rejectAll(new TopologyError('the channel was closed', REPLY.success))
  }

  /** For the connection: a frame of this channel. Throws `ProtocolError`. */
  receive(type: number, buffer: Buffer, start: number, end: number): void {
    if (this.#state === 'closing') return this.#receiveClosing(type, buffer, start, end)
    if (type === FRAME.method) {
      const method = decodeMethod(buffer, start, end, this.#host.cache)
      if (this.#assembler.pending) throw new ProtocolError(`${method.name} came in the middle of a content`, REPLY.unexpectedFrame)
      return this.#receiveMethod(method)
    }
    const content = this.#assembler.frame(type, buffer, start, end)
    if (content) this.#receiveContent(content)
  }

  /** For the connection: it is gone. */
  fail(error: OmnibusError): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#rejectAll(error)
  }

  #call<N extends MethodName, T>(
    name: N,
    args: MethodInput<N>,
    replies: readonly MethodName[],
    read: (method: Method, content: Content | undefined) => T,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#state !== 'open') return reject(this.#error ?? new TopologyError('the channel is closed', REPLY.channelError))
      this.#host.writer.method(this.id, name, args)
      this.#calls.push({ replies, reject, resolve: (method, content) => resolve(read(method, content)) })
    })
  }

  #receiveMethod(method: Method): void {
    switch (method.name) {
      case 'basic.deliver':
      case 'basic.return':
      case 'basic.get-ok':
        this.#carrier = method
        return this.#assembler.begin()
      case 'basic.ack':
        return this.#handlers.confirmed?.(method.args.deliveryTag, method.args.multiple, true)
      case 'basic.nack':
        return this.#handlers.confirmed?.(method.args.deliveryTag, method.args.multiple, false)
      case 'basic.cancel':
        if (!method.args.noWait) this.send('basic.cancel-ok', { consumerTag: method.args.consumerTag })
        return this.#handlers.cancelled?.()
      case 'channel.flow':
        return this.send('channel.flow-ok', { active: method.args.active })
      case 'channel.close':
        return this.#closedByBroker(method.args)
      default:
        return this.#answer(method, undefined)
    }
  }

  #receiveContent(content: Content): void {
    const carrier = this.#carrier
    if (carrier?.name === 'basic.deliver') this.#handlers.deliver?.(carrier.args, content)
    else if (carrier?.name === 'basic.return') this.#handlers.returned?.(carrier.args, content)
    else if (carrier) this.#answer(carrier, content)
  }

  #answer(method: Method, content: Content | undefined): void {
    // Taken off only once it is answered: a wrong answer ends the connection, which rejects all that still stand here.
    const [call] = this.#calls
    if (!call?.replies.includes(method.name)) {
      throw new ProtocolError(`${method.name} came where ${call?.replies.join(' or ') ?? 'nothing'} was expected`, REPLY.commandInvalid)
    }
    this.#calls.shift()
    call.resolve(method, content)
  }

  #closedByBroker({ replyCode, replyText }: MethodArgs<'channel.close'>): void {
    this.send('channel.close-ok', {})
    this.#state = 'closed'
    this.#host.released(this.id)
    const reason = new TopologyError(replyText, replyCode)
    this.#rejectAll(reason)
    this.#handlers.closed?.(reason)
  }

  #receiveClosing(type: number, buffer: Buffer, start: number, end: number): void {
    if (type !== FRAME.method) return
    const method = decodeMethod(buffer, start, end, this.#host.cache)
    // Both ends may close at the same moment; each answers the other (§1.5.2.5).
    if (method.name === 'channel.close') this.#host.writer.method(this.id, 'channel.close-ok', {})
    if (method.name !== 'channel.close-ok') return
    this.#state = 'closed'
    this.#host.released(this.id)
  }

  #rejectAll(error: OmnibusError): void {
    this.#error = error
    for (const call of this.#calls.splice(0)) call.reject(error)
  }
}
