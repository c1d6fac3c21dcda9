/** Answers an app's `listen` with the sockets inherited from the master, or in a thread with what its host accepts from them. */
import { type AddressInfo, Server, type Socket } from 'node:net'
import { acceptFrom } from './further.ts'

export interface InheritedSocket {
  /** The server that asked first and got it. */
  readonly server: Server | undefined
  /** Resolves with that server once it accepts. */
  readonly accepting: Promise<Server>
  /** Accepts no more from the sockets after the first, which a drain lets go like any server's own. */
  closeFurther(): void
  /** In a thread: gives that server a connection its host has accepted. */
  readonly serve: (socket: Socket) => void
}

export type ListenSource =
  /** `path` of the first if it is a unix socket, which an inherited descriptor does not tell. */
  | { readonly fds: readonly [number, ...number[]]; readonly path: string | undefined }
  /** Where the host of this thread accepts. */
  | { readonly address: AddressInfo }

export interface ListenOptions {
  readonly source: ListenSource
  /** Where the app names none. */
  readonly backlog: number
  /** Called for every server before it accepts. */
  readonly opened: (server: Server) => void
}

/**
 * From now on the first server of this process that calls `listen` gets the inherited sockets, whatever port it names.
 * A second one that names the same port (frameworks listen on 127.0.0.1 and ::1 alike) is told it listens, and gets no
 * connections; one that names another port (metrics, administration) listens there for real. Call once per process, before user code loads.
 */
export function answerListen({ source, backlog, opened }: ListenOptions): InheritedSocket {
  const listen = Reflect.get(Server.prototype, 'listen') as (this: Server, ...args: unknown[]) => Server
  const { promise: accepting, resolve, reject } = Promise.withResolvers<Server>()
  // Whoever awaits it hears of it; nobody may be waiting yet.
  accepting.catch(() => {})
  let owner: Server | undefined
  let ownerPort: number | string | undefined
  let closeFurther = (): void => {}

  const answer = (server: Server, args: unknown[]): Server => {
    const wanted = addressOf(args)
    if (owner === undefined) {
      owner = server
      ownerPort = wanted
      opened(server)
      server.once('error', reject)
      server.once('listening', () => {
        server.off('error', reject)
        resolve(server)
      })
      if ('address' in source) {
        Object.defineProperty(server, 'listening', { value: true, configurable: true })
        return pretend(server, () => source.address, callbackOf(args))
      }
      const { path } = source
      const [fd, ...further] = source.fds
      const wait = backlogOf(args) ?? backlog
      listen.call(server, { fd, backlog: wait, signal: optionsOf(args)['signal'] }, callbackOf(args))
      closeFurther = acceptFrom(server, further, wait, listen)
      if (path !== undefined) server.address = () => path
      return server
    }
    const first = owner
    if (server !== first && isSameAddress(wanted, ownerPort, first)) return pretend(server, () => first.address(), callbackOf(args))
    if (server !== owner) opened(server)
    return listen.apply(server, args)
  }
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    return answer(this, args)
  } as typeof listen
  return {
    get server() {
      return owner
    },
    accepting,
    closeFurther: () => closeFurther(),
    serve(socket) {
      if (owner) serve(owner, socket)
      else socket.destroy()
    },
  }
}

function pretend(server: Server, address: Server['address'], callback: (() => void) | undefined): Server {
  if (callback) server.once('listening', callback)
  server.address = address
  process.nextTick(() => server.emit('listening'))
  return server
}

/** What net does with a connection it has accepted itself, by the options the server was made with. */
function serve(server: Server, socket: Socket): void {
  const option = (name: string): unknown => Reflect.get(server, name)
  const connections = Number(option('_connections'))
  if (server.maxConnections && connections >= server.maxConnections) return void socket.destroy()
  socket.allowHalfOpen = option('allowHalfOpen') === true
  if (option('noDelay') === true) socket.setNoDelay(true)
  if (option('keepAlive') === true) socket.setKeepAlive(true, Number(option('keepAliveInitialDelay')))
  // By these the server counts its connections, and says `close` after the last of them.
  Reflect.set(server, '_connections', connections + 1)
  Reflect.set(socket, 'server', server)
  Reflect.set(socket, '_server', server)
  server.emit('connection', socket)
  // Starts reading, without letting anything flow that nobody listens to yet.
  socket.read(0)
}

function isSameAddress(wanted: number | string | undefined, ownerWanted: number | string | undefined, owner: Server): boolean {
  const real = owner.address()
  // Port 0 is each time another one.
  if (wanted === 0) return false
  return wanted === undefined || wanted === ownerWanted || (typeof real === 'object' && wanted === real?.port)
}

/** The port or the path named in any of the forms of `listen`. */
function addressOf(args: readonly unknown[]): number | string | undefined {
  const [first] = args
  const options = optionsOf(args)
  const named = typeof first === 'number' || typeof first === 'string' ? first : (options['port'] ?? options['path'])
  if (typeof named === 'number') return named
  if (typeof named !== 'string') return undefined
  return /^\d+$/.test(named) ? Number(named) : named
}

function backlogOf(args: readonly unknown[]): number | undefined {
  const named = optionsOf(args)['backlog'] ?? args.slice(1).find((argument) => typeof argument === 'number')
  return typeof named === 'number' && named > 0 ? named : undefined
}

function optionsOf(args: readonly unknown[]): Readonly<Record<string, unknown>> {
  const [first] = args
  return typeof first === 'object' && first !== null ? (first as Record<string, unknown>) : {}
}

function callbackOf(args: readonly unknown[]): (() => void) | undefined {
  return args.findLast((argument): argument is () => void => typeof argument === 'function')
}
