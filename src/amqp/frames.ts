/** General frame format (AMQP 0-9-1 §4.2.3): type, channel, payload size, payload, end octet. */

export const FRAME = { method: 1, header: 2, body: 3, heartbeat: 8 } as const
export const FRAME_END = 206
export const FRAME_HEADER_BYTES = 7
/** Header and end octet. */
export const FRAME_OVERHEAD = 8
/** Every peer must take frames of this size, and nothing larger may be sent before tuning (§4.2.3). */
export const FRAME_MIN_SIZE = 4096

/** What a client sends first (§4.2.2). A server that refuses it answers with the same bytes and closes. */
export const PROTOCOL_HEADER: Buffer = Buffer.from('AMQP\0\0\u0009\u0001', 'latin1')
