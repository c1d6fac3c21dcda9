/** The broker's end of the wire, for answers no real broker can be made to give at a certain moment. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { type Content, ContentAssembler, decodeMethod, FRAME, FrameReader, FrameWriter, type Method } from '../../src/amqp/index.ts'

export interface Peer {
  readonly writer: FrameWriter
  readonly channel: number
}

/** Called for each method behind the handshake, with its content where it has one. */
export type Script = (method: Method, content: Content | undefined, peer: Peer) => void

export interface ScriptedServer extends AsyncDisposable {
  readonly url: string
}

/** Does the handshake and opens channels by itself; everything else is the script's. `onClose` sees the client's goodbye. */
export async function startScriptedServer(script: Script, onClose: (method: Method) => void = () => undefined): Promise<ScriptedServer> {
  const server = createServer((socket) => {
    const writer = new FrameWriter(socket)
    writer.frameMax = 131_072
    const contents = new Map<number, { assembler: ContentAssembler; method: Method }>()
    const answer = (method: Method, channel: number): void => {
      if (method.name === 'connection.start-ok') return writer.method(0, 'connection.tune', { channelMax: 100, frameMax: 0, heartbeat: 0 })
      if (method.name === 'connection.open') return writer.method(0, 'connection.open-ok', {})
      if (method.name === 'connection.close') {
        onClose(method)
        return writer.method(0, 'connection.close-ok', {})
      }
      if (method.name === 'channel.open') return writer.method(channel, 'channel.open-ok', {})
      if (method.name === 'confirm.select') return writer.method(channel, 'confirm.select-ok', {})
      if (method.name !== 'basic.publish') return script(method, undefined, { writer, channel })
      const assembler = new ContentAssembler(1 << 20)
      assembler.begin()
      contents.set(channel, { assembler, method })
    }
    const reader = new FrameReader({
      frameMax: 131_072,
      expectHeader: true,
      onFrame: (type, channel, buffer, start, end) => {
        if (type === FRAME.method) return answer(decodeMethod(buffer, start, end), channel)
        const under = contents.get(channel)
        const content = under?.assembler.frame(type, buffer, start, end)
        if (under && content) script(under.method, content, { writer, channel })
      },
    })
    const greet = (): void =>
      writer.method(0, 'connection.start', {
        versionMajor: 0,
        versionMinor: 9,
        mechanisms: Buffer.from('PLAIN'),
        locales: Buffer.from('en_US'),
      })
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      const greeted = !reader.awaitsHeader
      reader.push(chunk)
      if (!greeted && !reader.awaitsHeader) greet()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `amqp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close()
    },
  }
}
