/** Clients that take nothing, or that nothing is taken from: neither fills the memory, and neither is taken for dead. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { FrameWriter } from '../../src/amqp/index.ts'
import { startBroker } from '../../src/broker/index.ts'
import { Flow } from '../../src/broker/listener/flow.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { opened } from './raw-client.ts'

test('nothing more is read from who lets answers pile up, until they are taken', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  using client = disposed(connect((server.address() as AddressInfo).port, '127.0.0.1'))
  const [socket] = (await once(server, 'connection')) as [Socket]
  using _ = disposed(socket)
  server.close()
  socket.resume()
  client.pause()
  const writer = new FrameWriter(socket)
  const flow: Flow = new Flow(socket, writer, {
    onFull() {
      writer.flush()
      flow.flushed()
    },
    onRoom: () => undefined,
  })
  // Beyond what the system takes off our hands.
  for (let n = 0; n < 40; n++) {
    writer.raw(Buffer.alloc(1024 * 1024))
    flow.check()
  }
  expect(socket.isPaused()).toBe(true)
  client.resume()
  await waitFor(() => !socket.isPaused(), { what: 'the broker to read on' })
})

test('who is kept waiting with its publishes is not taken for dead', async () => {
  const broker = await startBroker({ data: tempDir('waiting'), maxMemoryBytes: 1 })
  try {
    const at = { path: broker.address!.socket }
    using waiting = await opened(at, { heartbeat: 1, capabilities: { 'connection.blocked': true } })
    waiting.writer.content(1, 'basic.publish', { exchange: '', routingKey: 'q' }, {}, Buffer.from('x'))
    await waiting.next('connection.blocked')
    // Neither says another word; this one came later, and is dropped.
    using mute = await opened(at, { heartbeat: 1 })
    await waitFor(() => mute.ended, { what: 'the silent client to be dropped' })
    expect(waiting.ended).toBe(false)
  } finally {
    await broker.stop()
  }
})

function disposed(socket: Socket): Socket & Disposable {
  socket.on('error', () => {})
  return Object.assign(socket, { [Symbol.dispose]: () => void socket.destroy() })
}
