/** Sockets the master binds itself, so that they outlive every worker. */
import { lookup } from 'node:dns/promises'
import { lstatSync, unlinkSync } from 'node:fs'
import { BoundSocket, type BoundSocketOptions, connect } from 'node:net'
import { sleep } from '../core/clock.ts'
import { ConfigError, messageOf } from '../core/errors.ts'

export interface Bound {
  /** For the stdio of the processes that will listen on it. */
  readonly fd: number
  /** `http://host:port` as it came out, or `unix:/path`. */
  readonly url: string
  /** May be called twice. */
  close(): void
}

/** An earlier master that was killed leaves its port busy until its children are gone. */
const RETRY_MS = 2_000

/** `bind` is `host:port` or `unix:/path`. Binds without listening: the workers do that. Rejects with `ConfigError`. */
export async function bindSocket(bind: string, key = 'web.bind'): Promise<Bound> {
  for (let waitedMs = 0; ; waitedMs += 100) {
    try {
      return bind.startsWith('unix:') ? await bindPath(bind.slice(5)) : await bindPort(bind)
    } catch (error) {
      if (codeOf(error) === 'EADDRINUSE' && waitedMs < RETRY_MS) await sleep(100)
      else throw unusable(key, bind, error)
    }
  }
}

/** The error people see when an address cannot be had. */
export function unusable(key: string, address: string, cause: unknown): ConfigError {
  const expected: Record<string, string> = {
    EADDRINUSE: 'a free address',
    EADDRNOTAVAIL: 'an address of this machine',
    EACCES: 'an address this user may listen on',
    ENOTFOUND: 'a host name that can be resolved',
    ENOENT: 'a path in an existing folder',
  }
  const got = codeOf(cause) === 'EADDRINUSE' ? `${address}, which another program listens on` : `${address}: ${messageOf(cause)}`
  return new ConfigError('The configuration', [{ path: key, expected: expected[codeOf(cause) ?? ''] ?? 'an address to listen on', got }], {
    cause,
  })
}

/** `[::1]:80` → `::1` and 80. */
export function hostAndPort(bind: string): { host: string; port: number } {
  const colon = bind.lastIndexOf(':')
  return { host: bind.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(bind.slice(colon + 1)) }
}

async function bindPort(bind: string): Promise<Bound> {
  const { host, port } = hostAndPort(bind)
  const { address } = await lookup(host)
  const socket = new BoundSocket({ host: address, port })
  const bound = socket.address()
  return { fd: socket.fd(), url: `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}`, close: closing(socket) }
}

async function bindPath(path: string): Promise<Bound> {
  // A socket nobody listens on is left from a master that was killed. Anything else is somebody's.
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() && !(await isAnswered(path))) unlinkSync(path)
  const options: BoundSocketOptions & { path: string } = { path }
  const socket = new BoundSocket(options)
  return { fd: socket.fd(), url: `unix:${path}`, close: closing(socket) }
}

function closing(socket: BoundSocket): () => void {
  let open = true
  return () => {
    if (open) socket.close()
    open = false
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => resolve(true))
    probe.once('error', (error) => resolve(codeOf(error) !== 'ECONNREFUSED' && codeOf(error) !== 'ENOENT'))
    probe.once('close', () => probe.destroy())
    probe.once('connect', () => probe.destroy())
  })
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
