import { timingSafeEqual } from 'node:crypto'
import { ByteReader, FRAME_MIN_SIZE, readTable } from '../../amqp/index.ts'
import { ProtocolError } from '../../core/errors.ts'
import type { Headers } from '../../core/message.ts'

export const CHANNEL_MAX = 2047
export const FRAME_MAX = 131_072
/** Proposed to clients; they may choose another, or none. Seconds. */
export const HEARTBEAT_SECONDS = 60

/** The user that may connect from this machine, as in RabbitMQ. */
const LOCAL_USER = 'guest'
/** The user that may connect from anywhere, with the generated password. */
export const REMOTE_USER = 'omnibus'

export const serverProperties: Headers = Object.freeze({
  product: 'Omnibus',
  platform: `Node.js ${process.version}`,
  information: 'The built-in broker of Omnibus',
  capabilities: Object.freeze({
    publisher_confirms: true,
    exchange_exchange_bindings: true,
    'basic.nack': true,
    consumer_cancel_notify: true,
    'connection.blocked': true,
    consumer_priorities: true,
    authentication_failure_close: true,
    per_consumer_qos: true,
    direct_reply_to: true,
  }),
})

export interface Login {
  readonly user: string
  readonly password: string
}

/** Reads a SASL response. Throws `ProtocolError` for one that is not of its mechanism. */
export function readLogin(mechanism: string, response: Uint8Array): Login {
  const bytes = Buffer.from(response)
  if (mechanism === 'PLAIN') {
    // RFC 4616: authorization identity, user, password, with zeros between.
    const parts = bytes.toString('utf8').split('\0')
    return { user: parts[1] ?? '', password: parts[2] ?? '' }
  }
  if (mechanism === 'AMQPLAIN') {
    // A field table without the length in front of it.
    const length = Buffer.alloc(4)
    length.writeUInt32BE(bytes.length)
    const table = readTable(new ByteReader(Buffer.concat([length, bytes])))
    return { user: text(table['LOGIN']), password: text(table['PASSWORD']) }
  }
  throw new ProtocolError(`ACCESS_REFUSED - mechanism ${mechanism} is not one of PLAIN AMQPLAIN`, 403)
}

/** What a client makes of the limits it was offered. Throws `ProtocolError` 530. */
export function checkTuning(channelMax: number, frameMax: number): void {
  // 0 is no limit of the client's own (AMQP 0-9-1 §1.4.2.6).
  if (frameMax !== 0 && (frameMax < FRAME_MIN_SIZE || frameMax > FRAME_MAX)) {
    throw new ProtocolError(`NOT_ALLOWED - negotiated frame_max = ${frameMax} is not from ${FRAME_MIN_SIZE} to ${FRAME_MAX}`, 530)
  }
  if (channelMax > CHANNEL_MAX) {
    throw new ProtocolError(
      `NOT_ALLOWED - negotiated channel_max = ${channelMax} is higher than the maximum allowed value (${CHANNEL_MAX})`,
      530,
    )
  }
}

/** `local`: over the unix socket or from this machine. `password`: the generated one, where there is one. */
export function isWelcome(login: Login, local: boolean, password: string | undefined): boolean {
  if (local && login.user === LOCAL_USER && login.password === LOCAL_USER) return true
  return password !== undefined && login.user === REMOTE_USER && same(login.password, password)
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.')
}

function same(given: string, expected: string): boolean {
  const a = Buffer.from(given)
  const b = Buffer.from(expected)
  return a.length === b.length && timingSafeEqual(a, b)
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
