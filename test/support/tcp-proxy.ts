/** A TCP proxy on loopback whose traffic a test can stop: the way networks really fail. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** Connections open at the moment. */
  readonly connections: number
  /** From now on swallows every byte to the target (`up`), from it (`down`) or both, and keeps the connections: a peer that went silent. */
  blackhole(direction?: 'up' | 'down' | 'both'): void
  /** Passes bytes on again, but for connections that have lost some: TCP would deliver those first, and nothing after them. */
  restore(): void
  /** From now on passes so many bytes a second each way of each connection. */
  slow(bytesPerSecond: number): void
  /** Breaks every connection with a reset. */
  cut(): void
  [Symbol.asyncDispose](): Promise<void>
}

const TICK_MS = 10

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>()
  let swallowing: 'up' | 'down' | 'both' | undefined
  let bytesPerTick = Number.POSITIVE_INFINITY
  const pass = (chunk: Buffer, from: Socket, to: Socket): void => {
    to.write(chunk.subarray(0, bytesPerTick))
    if (bytesPerTick === Number.POSITIVE_INFINITY) return
    from.pause()
    const rest = chunk.subarray(bytesPerTick)
    setTimeout(() => (rest.byteLength > 0 ? pass(rest, from, to) : from.resume()), TICK_MS)
  }
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1')
    const pair = [client, target] as const
    pairs.add(pair)
    for (const [from, to] of [pair, pair.toReversed() as [Socket, Socket]]) {
      const direction = from === client ? 'up' : 'down'
      let lossy = false
      from.on('data', (chunk) => {
        lossy ||= swallowing === 'both' || swallowing === direction
        if (!lossy) pass(chunk, from, to)
      })
      from.on('error', () => undefined)
      from.on('close', () => {
        pairs.delete(pair)
        if (!swallowing) to.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const [client, target] of pairs) {
      client.resetAndDestroy()
      target.destroy()
    }
  }
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return pairs.size
    },
    blackhole(direction = 'both') {
      swallowing = direction
    },
    restore() {
      swallowing = undefined
    },
    slow(bytesPerSecond) {
      bytesPerTick = Math.ceil((bytesPerSecond * TICK_MS) / 1_000)
    },
    cut,
    async [Symbol.asyncDispose]() {
      swallowing = undefined
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}
