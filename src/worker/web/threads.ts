/** Web workers as threads of this process, whose main thread accepts for all of them and runs no code of the app. */
import { once } from 'node:events'
import { type AddressInfo, createServer, Socket } from 'node:net'
import { WorkerError } from '../../core/errors.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { webSettings } from '../settings.ts'
import { openPool } from '../threads/pool.ts'
import type { StartMessage, Unit, UnitContext } from '../unit.ts'
import { createDispatcher } from './dispatch.ts'

/** Resolves when every thread is ready, and only then accepts: what came before would be lost if one could not start. */
export async function openThreads(message: StartMessage, context: UnitContext): Promise<Unit> {
  const settings = webSettings(message)
  // A socket object on a descriptor tells its address; nothing is read, and a server takes it over.
  const inherited = (message.listenFds ?? []).map((fd) => new Socket({ fd, readable: false }))
  const [address] = inherited.map((socket, index) => addressOf(socket, settings.bind[index]))
  if (address === undefined) throw new TypeError('a web unit needs listenFds')
  const pool = await openPool({ role: 'web', size: settings.workers, settings, message, address, merge }, context)
  const dispatcher = createDispatcher(() => pool.threads)
  // Half open as http's own servers have it; each thread then does what its server says.
  const acceptors = inherited.map(() => createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => dispatcher.take(socket)))
  for (const [index, acceptor] of acceptors.entries()) {
    acceptor.listen(inherited[index], settings.backlog)
    await once(acceptor, 'listening')
    acceptor.on('error', context.fail)
  }
  return {
    status() {
      const { inFlight = 0, ...rest } = pool.status()
      return { ...rest, inFlight: inFlight + dispatcher.waiting }
    },
    async stop(reason, deadline) {
      for (const acceptor of acceptors) acceptor.close()
      dispatcher.flush()
      return pool.stop(reason, deadline)
    },
  }
}

function addressOf(socket: Socket, bind: string | undefined): AddressInfo {
  const address = socket.address()
  if ('port' in address) return address
  throw new WorkerError(`web.bind ${bind} is no TCP socket, and with web.kind 'thread' no other can be moved to threads`)
}

function merge(statuses: readonly UnitStatus[]): UnitStatus {
  const sum = (key: 'inFlight' | 'requests'): number => statuses.reduce((all, status) => all + (status[key] ?? 0), 0)
  const buses = statuses.map(({ connected }) => connected).filter((connected) => connected !== undefined)
  return { inFlight: sum('inFlight'), requests: sum('requests'), ...(buses.length > 0 && { connected: !buses.includes(false) }) }
}
