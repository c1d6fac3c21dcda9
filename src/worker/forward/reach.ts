/** Whether a target can be connected to; with TLS, when it has proved who it is. */
import { connect, isIP, type LookupFunction, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { hostOf } from '../../config/target.ts'

export interface Reach {
  readonly url: URL
  readonly lookup: LookupFunction
  /** As of `tls.connect`. */
  readonly ca?: Buffer
  readonly deadlineMs: number
  readonly signal: AbortSignal
}

/** Why there is no connection, if so. Never rejects. */
export function whyNoConnection({ url, lookup, ca, deadlineMs, signal }: Reach): Promise<string | undefined> {
  const host = hostOf(url)
  const isTls = url.protocol === 'https:'
  const to = { host, port: Number(url.port) || (isTls ? 443 : 80), lookup }
  return new Promise((resolve) => {
    const socket: Socket = isTls ? connectTls({ ...to, ...(ca && { ca }), ...(isIP(host) === 0 && { servername: host }) }) : connect(to)
    const end = (why?: string): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      socket.destroy()
      resolve(why)
    }
    const onAbort = (): void => end('cut off')
    const timer = setTimeout(() => end(`no connection to ${url.host} within ${deadlineMs} ms`), deadlineMs)
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once(isTls ? 'secureConnect' : 'connect', () => end())
    socket.once('error', (error) => end(error.message || String(Reflect.get(error, 'code'))))
  })
}
