/** Whether a broker is there, without a client. */
import { connect } from 'node:net'

const PROTOCOL_HEADER = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1')

/** Ready is when the protocol header is answered with a method frame (type 1), AMQP 0-9-1 §4.2.2; the port opens earlier. */
export function answersAmqp(port: number): Promise<boolean> {
  return attempt(port, (socket, done) => {
    socket.write(PROTOCOL_HEADER)
    socket.once('data', (chunk) => done(chunk[0] === 1))
  })
}

export const accepts = (port: number): Promise<boolean> => attempt(port, (_socket, done) => done(true))

function attempt(port: number, onConnect: (socket: ReturnType<typeof connect>, done: (result: boolean) => void) => void): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const done = (result: boolean): void => {
      socket.destroy()
      resolve(result)
    }
    socket.setTimeout(2_000, () => done(false))
    socket.once('error', () => done(false))
    socket.once('close', () => done(false))
    socket.once('connect', () => onConnect(socket, done))
  })
}
