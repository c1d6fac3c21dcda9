import { ConnectionError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'
import { FRAME_MIN_SIZE, PROTOCOL_HEADER } from '../frames.ts'
import type { Method, MethodArgs, MethodName } from '../methods.ts'
import { REPLY } from '../reply-codes.ts'
import { ByteWriter } from '../byte-writer.ts'
import { writeTable } from '../field-table.ts'
import type { Link } from './link.ts'
import type { Credentials, Mechanism } from './target.ts'

export interface HandshakeOptions {
  readonly label: string
  readonly credentials: Credentials
  readonly vhost: string
  /** @default PLAIN, or AMQPLAIN where the server does not take that */
  readonly mechanism: Mechanism | undefined
  /** `product`, `version`, `connection_name` and whatever else is to be shown; the capabilities are added. */
  readonly clientProperties: Headers
  /** Largest frame wished for, in bytes. */
  readonly frameMax: number
  readonly channelMax: number
  /** Wished heartbeat; 0 turns it off. Milliseconds, sent as whole seconds, rounded up. */
  readonly heartbeatMs: number
}

export interface Tuned {
  readonly frameMax: number
  readonly channelMax: number
  /** 0 is off. */
  readonly heartbeatMs: number
  readonly serverProperties: Headers
}

/** What we can take that plain AMQP 0-9-1 has not (https://www.rabbitmq.com/consumer-cancel#capabilities and its siblings). */
const CAPABILITIES: Headers = {
  publisher_confirms: true,
  exchange_exchange_bindings: true,
  'basic.nack': true,
  consumer_cancel_notify: true,
  'connection.blocked': true,
  authentication_failure_close: true,
}

/**
 * Opens the connection and its virtual host (AMQP 0-9-1 §2.2.4). `receive` resolves with the next method on channel 0.
 * Rejects with `ConnectionError`, `fatal` when the credentials or the vhost are refused. The password is in no error.
 */
export async function handshake(link: Link, receive: () => Promise<Method>, options: HandshakeOptions): Promise<Tuned> {
  const { label, credentials, vhost } = options
  const { writer } = link
  const send = (write: () => void): void => {
    write()
    writer.flush()
  }
  send(() => writer.raw(PROTOCOL_HEADER))
  const start = await expect(receive, 'connection.start', options)
  if (start.versionMajor !== 0 || start.versionMinor !== 9) {
    throw new ConnectionError(`${label} speaks AMQP ${start.versionMajor}.${start.versionMinor}, not 0-9-1`, { fatal: true })
  }
  const offered = Buffer.from(start.mechanisms).toString('latin1').split(' ')
  const wanted: readonly Mechanism[] = options.mechanism ? [options.mechanism] : ['PLAIN', 'AMQPLAIN']
  const mechanism = wanted.find((name) => offered.includes(name))
  if (!mechanism) throw new ConnectionError(`${label} does not take ${wanted[0]} logins, only ${offered.join(', ')}`, { fatal: true })
  send(() =>
    writer.method(0, 'connection.start-ok', {
      clientProperties: { ...options.clientProperties, capabilities: CAPABILITIES },
      mechanism,
      response: responseOf(mechanism, credentials),
      locale: 'en_US',
    }),
  )
  const tune = await expect(receive, 'connection.tune', options)
  const frameMax = Math.max(FRAME_MIN_SIZE, smaller(options.frameMax, tune.frameMax))
  const channelMax = smaller(options.channelMax, tune.channelMax)
  const wished = Math.ceil(options.heartbeatMs / 1000)
  const heartbeat = wished === 0 ? 0 : smaller(wished, tune.heartbeat)
  link.setFrameMax(frameMax)
  send(() => {
    writer.method(0, 'connection.tune-ok', { channelMax, frameMax, heartbeat })
    writer.method(0, 'connection.open', { virtualHost: vhost })
  })
  await expect(receive, 'connection.open-ok', options)
  return { frameMax, channelMax, heartbeatMs: heartbeat * 1000, serverProperties: start.serverProperties }
}

function responseOf(mechanism: Mechanism, { username, password }: Credentials): Buffer {
  // RFC 4616: no authorization identity, then user name and password.
  if (mechanism === 'PLAIN') return Buffer.from(`\0${username}\0${password}`)
  // RFC 4422, appendix A: the identity is the one in the certificate.
  if (mechanism === 'EXTERNAL') return Buffer.alloc(0)
  // A field table without its length (AMQP 0-8, from which brokers have it).
  const table = new ByteWriter(256)
  writeTable(table, { LOGIN: username, PASSWORD: password })
  return Buffer.from(table.take().subarray(4))
}

/** A server's 0 means that it sets no limit. */
function smaller(wished: number, offered: number): number {
  return offered === 0 ? wished : Math.min(wished, offered)
}

async function expect<N extends MethodName>(receive: () => Promise<Method>, name: N, options: HandshakeOptions): Promise<MethodArgs<N>> {
  const method = await receive()
  if (method.name === name) return method.args as unknown as MethodArgs<N>
  if (method.name === 'connection.close') throw refusal(method.args, options)
  throw new ConnectionError(`${options.label} answered ${method.name} where ${name} was expected`)
}

function refusal(
  { replyCode, replyText }: MethodArgs<'connection.close'>,
  { label, vhost, credentials }: HandshakeOptions,
): ConnectionError {
  const said = `${replyText} (${replyCode})`
  if (replyCode === REPLY.accessRefused) {
    return new ConnectionError(`${label} refused the login of user "${credentials.username}": ${said}`, { fatal: true })
  }
  if (replyCode === REPLY.notAllowed || replyCode === REPLY.invalidPath) {
    // The vhost may have room for us again later; one that is unknown or closed to us will stay so.
    const fatal = !/limit .*reached/i.test(replyText)
    return new ConnectionError(`${label} refused the vhost "${vhost}": ${said}`, { fatal })
  }
  return new ConnectionError(`${label} refused the connection: ${said}`)
}
