/** Answers an app's `listen` with the socket inherited from the master. */
import { Server } from 'node:net'
import { acceptFrom } from './further.ts'

export interface InheritedSocket {
  /** The server that asked first and got it. */
  readonly server: Server | undefined
  /** Resolves with that server once it accepts. */
  readonly accepting: Promise<Server>
  /** Accepts no more from the sockets after the first, which a drain lets go like any server's own. */
  closeFurther(): void
}

export interface ListenOptions {
  readonly fds: readonly [number, ...number[]]
  /** Where the app names none. */
  readonly backlog: number
  /** Of the first if it is a unix socket, which an inherited descriptor does not tell. */
  readonly path: string | undefined
  /** Called for every server before it accepts. */
  readonly opened: (server: Server) => void
}

/**
 * From now on the first server of this process that calls `listen` gets the inherited sockets, whatever port it names.
 * A second one that names the same port (frameworks listen on 127.0.0.1 and ::1 alike) is told it listens, and gets no
 * connections; one that names another port (metrics, administration) listens there for real. Call once per process, before user code loads.
 */
export function answerListen({ fds, backlog, path, opened }: ListenOptions): InheritedSocket {
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
      const [fd, ...further] = fds
      const wait = backlogOf(args) ?? backlog
      listen.call(server, { fd, backlog: wait, signal: optionsOf(args)['signal'] }, callbackOf(args))
      closeFurther = acceptFrom(server, further, wait, listen)
      if (path !== undefined) server.address = () => path
      return server
    }
    if (server !== owner && isSameAddress(wanted, ownerPort, owner)) return pretend(server, owner, callbackOf(args))
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
  }
}

function pretend(server: Server, owner: Server, callback: (() => void) | undefined): Server {
  if (callback) server.once('listening', callback)
  server.address = () => owner.address()
  process.nextTick(() => server.emit('listening'))
  return server
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
