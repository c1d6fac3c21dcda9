import {
  type Content,
  ContentAssembler,
  decodeMethod,
  FRAME,
  type Method,
  type MethodArgs,
  METHODS,
  type MethodName,
} from '../../amqp/index.ts'
import { messageOf, ProtocolError, TopologyError } from '../../core/errors.ts'
import type { BodySink, Channel, GiveBack, Message, Outcome } from '../engine/index.ts'
import { Confirms } from './confirms.ts'
import type { Connection } from './connection.ts'
import { checkProperties, compact } from './content.ts'
import { handleMethod } from './methods.ts'
import { ChannelOutput } from './output.ts'
import { inVhost, short } from './reply-text.ts'

const CONTENT_TOO_LARGE = 311

/** One channel of a client: puts contents together, and answers an error by closing just itself. */
export class ServerChannel {
  readonly connection: Connection
  readonly id: number
  readonly channel: Channel
  readonly confirms: Confirms
  readonly output: ChannelOutput
  /** Stands for an empty queue name (AMQP 0-9-1 §1.7.2.1). */
  lastQueue = ''
  /** It has selected transactions, for good. */
  transactional = false
  readonly #assembler: ContentAssembler
  #publish: MethodArgs<'basic.publish'> | undefined
  /** Of the large body that arrives. */
  #sink: BodySink | undefined
  #closing = false
  #ended = false

  constructor(connection: Connection, id: number) {
    this.connection = connection
    this.id = id
    const { writer, flow, engine, bodyMax } = connection
    this.#assembler = new ContentAssembler(bodyMax, (size) => (this.#sink = engine.receive(size)))
    this.output = new ChannelOutput(writer, flow, id, () => this.channel.resume())
    this.confirms = new Confirms(this.output)
    this.channel = engine.channel(connection, {
      writable: () => !this.output.busy && flow.writable,
      privileged: () => connection.gate.admit(),
      delivered: (consumerTag, deliveryTag, message, { redelivered }) => {
        const { exchange, routingKey } = message
        this.#guard(() => this.output.content('basic.deliver', { consumerTag, deliveryTag, redelivered, exchange, routingKey }, message))
        connection.dirty()
      },
      cancelled: (consumerTag) => this.output.method('basic.cancel', { consumerTag, noWait: true }),
      returned: (message) => this.#return(message),
      settled: (publishId, outcome, reason) => this.#settled(publishId, outcome, reason),
    })
  }

  frame(type: number, buffer: Buffer, start: number, end: number): void {
    if (type === FRAME.method) {
      const method = decodeMethod(buffer, start, end, this.connection.cache)
      if (this.#closing) return this.#whileClosing(method)
      if (this.#assembler.pending) return this.#run('basic.publish', () => this.#unexpected())
      return this.#run(method.name, () => this.#method(method))
    }
    if (this.#closing) return
    this.#run('basic.publish', () => {
      const content = this.#assembler.frame(type, buffer, start, end)
      if (content) this.#published(content)
    })
  }

  /** Writes the confirms of the engine's turn. */
  confirm(): void {
    this.confirms.flush()
  }

  /** The client reads again. */
  resume(): void {
    this.#guard(() => this.output.proceed())
    if (!this.#ended) this.channel.resume()
  }

  end(how: GiveBack): void {
    this.#ended = true
    this.#sink?.discard()
    this.#sink = undefined
    this.channel.close(how)
  }

  #method(method: Method): void {
    switch (method.name) {
      case 'basic.publish':
        this.#publish = method.args
        return this.#assembler.begin()
      case 'channel.close':
        // What came before is committed, and confirmed, before the goodbye.
        this.connection.engine.flush()
        this.confirm()
        this.end('untouched')
        this.#closing = true
        return this.output.inTurn(() => {
          this.connection.forget(this.id)
          this.output.method('channel.close-ok', {})
        })
      default:
        return handleMethod(this, method)
    }
  }

  #published(content: Content): void {
    const args = this.#publish
    if (!args) return
    if (args.immediate) throw new ProtocolError('NOT_IMPLEMENTED - immediate=true', 540)
    const message = this.#sink ? this.#stored(args, content, this.#sink) : compact(args, content)
    if (!message) return
    checkProperties(message, this.connection.user)
    this.channel.publish(message, args.mandatory, this.confirms.next())
  }

  /** The message of a large body; undefined where it could not be stored, which the client is told. */
  #stored(
    { exchange, routingKey }: MethodArgs<'basic.publish'>,
    { propertyBytes: properties }: Content,
    sink: BodySink,
  ): Message | undefined {
    this.#sink = undefined
    try {
      return { exchange, routingKey, properties, body: sink.finish() }
    } catch (error) {
      // What was published before is answered before.
      this.connection.engine.flush()
      this.#settled(this.confirms.next(), 'failed', `the body could not be stored: ${messageOf(error)}`)
      return undefined
    }
  }

  #unexpected(): never {
    throw new ProtocolError('UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead', 505)
  }

  #return(message: Message): void {
    const { exchange, routingKey } = message
    const args = { replyCode: 312, replyText: 'NO_ROUTE', exchange, routingKey }
    this.#guard(() => this.output.content('basic.return', args, message))
  }

  #settled(publishId: number, outcome: Outcome, reason: string): void {
    if (publishId > 0) {
      this.confirms.settled(publishId, outcome === 'routed' || outcome === 'unrouted')
      this.connection.dirty()
    } else if (outcome === 'failed' && !this.#closing) {
      // Without confirms this is the only way to say that a message was lost.
      this.#close(506, `RESOURCE_ERROR - ${reason}`, 'basic.publish')
    }
  }

  /** The channel ends for what it did wrong; errors of the whole connection pass on. */
  #run(name: MethodName, work: () => void): void {
    try {
      work()
    } catch (error) {
      if (error instanceof TopologyError) {
        // Publishes before the wrong one still get their confirms.
        this.connection.engine.flush()
        this.#close(error.replyCode, error.message, name)
      } else if (error instanceof ProtocolError && error.replyCode === CONTENT_TOO_LARGE) {
        this.#close(406, `PRECONDITION_FAILED - ${error.message}`, name)
      } else if (error instanceof ProtocolError) this.connection.close(error.replyCode, error.message, name)
      else throw error
    }
  }

  /** What cannot be written (properties larger than this client's frames) ends the connection instead of the engine. */
  #guard(write: () => void): void {
    try {
      write()
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      queueMicrotask(() => this.connection.close(501, `FRAME_ERROR - ${why}`))
    }
  }

  #close(replyCode: number, replyText: string, method: MethodName): void {
    if (this.#closing) return
    this.#closing = true
    this.confirm()
    this.end('untouched')
    const [classId, methodId] = METHODS[method].id
    this.output.method('channel.close', {
      replyCode,
      replyText: short(inVhost(replyText, this.connection.vhost)),
      classId,
      methodId,
    })
  }

  /** Everything that was under way is dropped until the client has seen the close (§1.5.2.5). */
  #whileClosing(method: Method): void {
    if (method.name === 'channel.close') this.output.method('channel.close-ok', {})
    else if (method.name === 'channel.close-ok') this.connection.forget(this.id)
  }
}
