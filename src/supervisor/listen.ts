/** Sockets the master binds itself, so that they outlive every worker. */
import { lookup } from 'node:dns/promises'
import { closeSync, fstatSync, linkSync, lstatSync, unlinkSync } from 'node:fs'
import { BoundSocket, type BoundSocketOptions, connect } from 'node:net'
import { dirname, join } from 'node:path'
import { sleep } from '../core/clock.ts'
import { ConfigError, messageOf } from '../core/errors.ts'

export interface Bound {
  /** For the stdio of the processes that accept from it. */
  readonly fd: number
  /** `http://host:port` as it came out, `unix:/path`, or `fd://N`. */
  readonly url: string
  /** For a server of this process, which closes the socket itself from then on. */
  adopt(): BoundSocket | { readonly fd: number }
  /** `shared`: another master serves there too, so that a unix socket keeps its path. May be called twice. */
  close(options?: { readonly shared: boolean }): void
}

export interface BindOptions {
  /** Where the config names the address, for the error. */
  readonly key: string
  /** Makes it listen at once: who connects waits for whoever accepts first, and nobody else can have the address. Absent: only bind. */
  readonly listen?: ListenOn
}

type ListenOn = (fd: number) => Promise<void>

/** An earlier master that was killed leaves its port busy until its children are gone. */
const RETRY_MS = 500

/** `address` is `host:port`, `unix:/path` or `fd://N`. Rejects with `ConfigError`. */
export async function bindSocket(address: string, { key, listen }: BindOptions): Promise<Bound> {
  for (let waitedMs = 0; ; waitedMs += 100) {
    try {
      if (address.startsWith('unix:')) return await bindPath(address.slice(5), listen)
      return address.startsWith('fd://') ? await takeDescriptor(address, listen) : await bindPort(address, listen)
    } catch (error) {
      if (codeOf(error) === 'EADDRINUSE' && waitedMs < RETRY_MS) await sleep(100)
      else throw unusable(key, address, error)
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
    EEXIST: 'a path where nothing but a socket is',
    EBADF: 'a descriptor that this process was started with',
    ENOTSOCK: 'a descriptor of a socket',
    EINVAL: 'a stream socket that is not connected',
  }
  // So it is of a unix socket whose folder is missing, too.
  if (address.startsWith('unix:')) expected['EACCES'] = 'a path in a folder that exists and may be written'
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

/** Of a socket that listens already: one of ours, with its `socket`, or one that was inherited. */
export function holdSocket({ fd, url, socket }: { fd: number; url: string; socket?: BoundSocket }): Bound {
  const path = url.startsWith('unix:') ? url.slice(5) : undefined
  const inode = inodeOf(path)
  let adopted = false
  let closed = false
  return {
    fd,
    url,
    adopt() {
      adopted = true
      return socket ?? { fd }
    },
    close({ shared } = { shared: false }) {
      if (closed) return
      closed = true
      if (!adopted && socket) socket.close()
      else if (!adopted) closeSync(fd)
      if (path !== undefined && !shared && inodeOf(path) === inode) unlinkSync(path)
    },
  }
}

async function bindPort(address: string, listen: ListenOn | undefined): Promise<Bound> {
  const { host, port } = hostAndPort(address)
  const { address: numeric } = await lookup(host)
  const socket = await listening(new BoundSocket({ host: numeric, port }), listen)
  const bound = socket.address()
  return holdSocket({ fd: socket.fd(), url: `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}`, socket })
}

/** It gets its path when it listens: before, it would pass for one that was left behind. */
async function bindPath(path: string, listen: ListenOn | undefined): Promise<Bound> {
  const temporary = join(dirname(path), `.${process.pid}`)
  const options: BoundSocketOptions & { path: string } = { path: temporary }
  const socket = await listening(new BoundSocket(options), listen)
  try {
    await removeDead(path)
    linkSync(temporary, path)
    unlinkSync(temporary)
  } catch (error) {
    // Removes the temporary path too.
    socket.close()
    throw error
  }
  return holdSocket({ fd: socket.fd(), url: `unix:${path}`, socket })
}

async function takeDescriptor(address: string, listen: ListenOn | undefined): Promise<Bound> {
  const fd = Number(address.slice(5))
  if (!fstatSync(fd).isSocket()) throw Object.assign(new Error('it is no socket'), { code: 'ENOTSOCK' })
  await listen?.(fd)
  return holdSocket({ fd, url: address })
}

async function listening(socket: BoundSocket, listen: ListenOn | undefined): Promise<BoundSocket> {
  try {
    await listen?.(socket.fd())
    return socket
  } catch (error) {
    socket.close()
    throw error
  }
}

/** A socket nobody listens on is left from a master that was killed. Anything else is somebody's. */
async function removeDead(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return
  if (!found.isSocket()) throw Object.assign(new Error('something else is there'), { code: 'EEXIST' })
  if (await isAnswered(path)) throw Object.assign(new Error('it is in use'), { code: 'EADDRINUSE' })
  // Another master may have come to the same conclusion, and have its own socket there by now.
  if (inodeOf(path) === found.ino) unlinkSync(path)
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

function inodeOf(path: string | undefined): number | undefined {
  return path === undefined ? undefined : lstatSync(path, { throwIfNoEntry: false })?.ino
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
