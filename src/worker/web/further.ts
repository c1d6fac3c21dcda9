/** A web app that is bound to several addresses accepts from several sockets, but has one server. */
import { Server, type ServerOpts } from 'node:net'

/** What a server was made with, that shows in the connections it accepts. */
const OPTIONS = ['allowHalfOpen', 'pauseOnConnect', 'noDelay', 'keepAlive', 'keepAliveInitialDelay', 'highWaterMark'] as const

/**
 * Lets `owner` have the connections of further sockets too, until it is closed or what is returned is called. `listen` is
 * that of `Server` itself.
 */
export function acceptFrom(owner: Server, fds: readonly number[], backlog: number, listen: (...args: unknown[]) => Server): () => void {
  const options: ServerOpts = Object.fromEntries(OPTIONS.map((name) => [name, Reflect.get(owner, name)]))
  const further = fds.map((fd) => {
    const server = new Server(options, (socket) => owner.emit('connection', socket))
    server.on('error', (error) => owner.emit('error', error))
    listen.call(server, { fd, backlog })
    return server
  })
  const close = owner.close.bind(owner)
  const closeFurther = (): void => {
    for (const server of further.splice(0)) Server.prototype.close.call(server)
  }
  owner.close = (callback) => {
    closeFurther()
    return close(callback)
  }
  return closeFurther
}
