import { connect as connectNet, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { ConnectionError, messageOf } from '../../core/errors.ts'
import { describeTarget, type Target } from './target.ts'

/** PEM texts. Without `ca` the certificates Node trusts are trusted. */
export interface TlsMaterial {
  readonly ca?: string | Buffer
  readonly cert?: string | Buffer
  readonly key?: string | Buffer
}

/**
 * Opens a socket that is ready to be written to. With TLS the peer's certificate and host name have been verified, whatever
 * the environment says. Rejects with `ConnectionError`, or with the signal's reason when it aborts.
 */
export function dial(target: Target, tls: TlsMaterial, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const socket = open(target, tls)
    const finish = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort)
      socket.removeListener('error', onError)
      socket.removeListener('close', onClose)
      settle()
    }
    const onAbort = (): void => {
      finish(() => reject(signal.reason))
      // A connection attempt that fails after it was given up concerns nobody.
      socket.on('error', () => undefined)
      socket.destroy()
    }
    const onError = (cause: NodeJS.ErrnoException): void => {
      // Only a socket that was taken can be reset, in the middle of TLS.
      const cut = cause.code === 'ECONNRESET'
      finish(() => reject(new ConnectionError(`Cannot connect to ${describeTarget(target)}: ${reason(cause)}`, { cause, cut })))
    }
    const onClose = (): void => {
      finish(() => reject(new ConnectionError(`Cannot connect to ${describeTarget(target)}: it closed the connection`, { cut: true })))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('error', onError)
    socket.once('close', onClose)
    socket.once(target.kind === 'tls' ? 'secureConnect' : 'connect', () => finish(() => resolve(socket)))
  })
}

function open(target: Target, tls: TlsMaterial): Socket {
  if (target.kind === 'unix') return connectNet({ path: target.path })
  const { host, port } = target
  if (target.kind === 'tcp') return connectNet({ host, port, noDelay: true })
  const socket = connectTls({
    host,
    port,
    ...tls,
    ...(isIP(host) ? {} : { servername: host }),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
  })
  return socket.setNoDelay(true)
}

/** Trying several addresses of one name gives an `AggregateError` without a text of its own. */
function reason(error: Error): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ')
  return error.message
}
