import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Engine } from '../engine/index.ts'
import { Connection, type ConnectionStats } from './connection.ts'
import { isLoopback, type Login } from './handshake.ts'

export interface ListenerOptions {
  /** Undefined for a virtual host that is not there. */
  readonly engineOf: (vhost: string) => Engine | undefined
  /** `local`: over the unix socket or from this machine. */
  readonly admits: (login: Login, local: boolean) => boolean | Promise<boolean>
  /** Largest body of a message. Bytes. @default 16 MiB, as in RabbitMQ 4 */
  readonly bodyMax?: number | undefined
  readonly onEvent: (event: ListenerEvent) => void
}

const BODY_MAX = 16 * 1024 * 1024

export type ListenerEvent =
  | { readonly type: 'client-open'; readonly client: string; readonly user: string }
  | { readonly type: 'client-end'; readonly client: string; readonly reason: string }

/** Accepts AMQP clients on a unix socket and on TCP. */
export class Listener {
  readonly #options: ListenerOptions
  readonly #servers: Server[] = []
  readonly #connections = new Map<Connection, string>()
  #dirty = new Set<Connection>()
  #scheduled: NodeJS.Immediate | undefined
  #alarm: string | undefined
  #closing = false

  constructor(options: ListenerOptions) {
    this.#options = options
  }

  get clients(): number {
    return this.#connections.size
  }

  /** Of those that are logged in, with where they come from. */
  stats(): readonly ({ readonly client: string } & ConnectionStats)[] {
    const open = [...this.#connections].filter(([connection]) => connection.isOpen)
    return open.map(([connection, client]) => ({ client, ...connection.stats() }))
  }

  /** Resolves with the port when it accepts. With `tls`, of PEM, clients must speak that. Rejects for what is no certificate. */
  async listen(at: { path: string } | { host: string; port: number }, tls?: { cert: Buffer; key: Buffer }): Promise<number> {
    const accept = (socket: Socket): void => this.#accept(socket)
    const server = tls ? createTlsServer({ ...tls, minVersion: 'TLSv1.2' }, accept) : createServer(accept)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(at, () => {
        server.off('error', reject)
        resolve()
      })
    })
    this.#servers.push(server)
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** Writes at the end of the engine's turn what the turn brought, in one piece per client. */
  flush(): void {
    clearImmediate(this.#scheduled)
    this.#scheduled = undefined
    const dirty = this.#dirty
    if (dirty.size === 0) return
    this.#dirty = new Set()
    for (const connection of dirty) connection.flush()
  }

  /** While there is a reason, publishers are blocked; everything that makes room goes on. */
  setAlarm(reason: string | undefined): void {
    this.#alarm = reason
    for (const connection of this.#connections.keys()) connection.gate.setAlarm(reason)
  }

  /** Accepts nobody any more, says goodbye to all, and resolves when all have left: within a few seconds. */
  async close(replyCode: number, replyText: string): Promise<void> {
    this.#closing = true
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    for (const connection of this.#connections.keys()) connection.close(replyCode, replyText)
    await Promise.all(closed)
  }

  #accept(socket: Socket): void {
    if (this.#closing) {
      socket.destroy()
      return
    }
    const { engineOf, admits, onEvent, bodyMax = BODY_MAX } = this.#options
    const remote = socket.remoteAddress
    const local = remote === undefined || isLoopback(remote)
    const connection = new Connection({
      socket,
      engineOf,
      bodyMax,
      admits: (login) => admits(login, local),
      onDirty: (dirty) => {
        this.#dirty.add(dirty)
        this.#scheduled ??= setImmediate(() => this.flush())
      },
      onOpen: (opened) => {
        opened.gate.setAlarm(this.#alarm)
        onEvent({ type: 'client-open', client, user: opened.user })
      },
      onEnd: (ended, reason) => {
        this.#connections.delete(ended)
        this.#dirty.delete(ended)
        onEvent({ type: 'client-end', client, reason })
      },
    })
    const client = remote === undefined ? 'unix socket' : `${remote}:${socket.remotePort}`
    this.#connections.set(connection, client)
  }
}
