/** The built-in broker: one owner per data folder, AMQP 0-9-1 over a unix socket and, if asked, TCP. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import { ConfigError, messageOf } from '../core/errors.ts'
import { takeLock, type OwnerLock } from './lock.ts'
import { type Owner, type OwnerEvent, startOwner } from './owner.ts'
import type { BrokerStats } from './statistics.ts'
import { prepareFolder } from './store/folder.ts'
import { StoreRefusedError } from './store/refused.ts'
import { type Salvage, salvageStore } from './store/salvage.ts'

export { type Announcement, readAnnouncement } from './announcement.ts'
export { inspectBroker } from './inspect.ts'
export type { BrokerStats } from './statistics.ts'
export { prepareFolder }
export { removeUser, setUser, userNames } from './users.ts'
export type { Salvage } from './store/salvage.ts'
export { StoreRefusedError }

/** How often a standby looks whether the owner is gone. Milliseconds, growing from one to the other. */
const POLL_MIN_MS = 25
const POLL_MAX_MS = 100

export interface BrokerOptions {
  /** The folder that holds everything; created with mode 0700 where there is none. */
  readonly data: string
  /** `host:port` for AMQP over TCP besides the unix socket; port 0 takes a free one. @default none */
  readonly listen?: string
  /** Makes the listener speak TLS only: files of PEM. @default plain TCP */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** Virtual hosts besides `/`. Those that were made once stay. @default none */
  readonly vhosts?: readonly string[]
  /** Ends by itself some seconds after the last client has left. @default false */
  readonly untilIdle?: boolean
  /** Free space of the disk below which publishers are blocked. Bytes. @default 64 MiB */
  readonly minFreeBytes?: number
  /** Size of the store above which publishers are blocked. Bytes. @default no limit */
  readonly maxStoreBytes?: number
  /** Resident memory of the process above which publishers are blocked. Bytes. @default six tenths of what it may have */
  readonly maxMemoryBytes?: number
  /** Largest body of a message. Bytes. @default 16 MiB */
  readonly maxBodyBytes?: number
  /** Everything worth a log line; must not throw. */
  readonly onEvent?: (event: BrokerEvent) => void
}

export type BrokerEvent =
  | OwnerEvent
  | { readonly type: 'owner'; readonly socket: string; readonly listening: string | undefined }
  | { readonly type: 'standby' }
  /** It ended by itself: idle, or for good with an error. The process should end too. */
  | { readonly type: 'ended'; readonly error: unknown }

export interface BrokerHandle {
  /** `standby`: another process owns the folder; this one takes over when it is gone. */
  readonly state: 'owner' | 'standby' | 'stopped'
  /** Where clients connect; absent unless `owner`. */
  readonly address: { readonly socket: string; readonly listen: string | undefined } | undefined
  /** Resolves when it has stopped, by `stop` or because it was idle; rejects when it failed. */
  readonly closed: Promise<void>
  /** Undefined unless `owner`. */
  stats(): BrokerStats | undefined
  /** Says goodbye to clients (320), commits, checkpoints and closes. May be called twice. */
  stop(): Promise<void>
}

/**
 * Starts the broker of a folder, or stands by when another process owns it. Resolves when it accepts clients or stands by.
 * Rejects with `StoreRefusedError` (exit code 78) when the folder or its files cannot be used, and `ConfigError`.
 */
export async function startBroker(options: BrokerOptions): Promise<BrokerHandle> {
  const data = resolve(options.data)
  const listen = options.listen === undefined ? undefined : parseListen(options.listen)
  const tls = options.tls && readTls(options.tls)
  const onEvent = options.onEvent ?? ((): void => {})
  const { promise: closed, resolve: end, reject: fail } = Promise.withResolvers<void>()
  closed.catch(() => {})
  let lock: OwnerLock | undefined
  let owner: Owner | undefined
  let poll: NodeJS.Timeout | undefined
  let stopping: Promise<void> | undefined

  const own = async (taken: OwnerLock): Promise<void> => {
    lock = taken
    owner = await startOwner({
      data,
      listen,
      tls,
      vhosts: options.vhosts ?? [],
      minFreeBytes: options.minFreeBytes,
      maxStoreBytes: options.maxStoreBytes,
      maxMemoryBytes: options.maxMemoryBytes,
      maxBodyBytes: options.maxBodyBytes,
      onEvent: (event) => {
        onEvent(event)
        if (event.type === 'store-failed') finish(event.error)
      },
      onIdle: () => {
        if (options.untilIdle) finish(undefined)
      },
    })
    onEvent({ type: 'owner', socket: owner.socket, listening: owner.listening })
  }

  const standBy = (wait: number): void => {
    poll = setTimeout(() => {
      try {
        const taken = takeLock(join(data, 'owner.lock'))
        if (taken) own(taken).catch(finish)
        else standBy(Math.min(wait * 2, POLL_MAX_MS))
      } catch (error) {
        finish(error)
      }
    }, wait)
  }

  const stop = (): Promise<void> => {
    stopping ??= (async () => {
      clearTimeout(poll)
      try {
        await owner?.stop()
      } finally {
        owner = undefined
        lock?.release()
        lock = undefined
      }
    })()
    return stopping
  }

  /** Ends by itself, and says so. */
  const finish = (error: unknown): void => {
    stop()
      .catch(() => {})
      .finally(() => {
        onEvent({ type: 'ended', error })
        if (error === undefined) end()
        else fail(error)
      })
  }

  prepareFolder(data)
  const taken = takeLock(join(data, 'owner.lock'))
  if (taken) {
    try {
      await own(taken)
    } catch (error) {
      taken.release()
      throw error
    }
  } else {
    onEvent({ type: 'standby' })
    // Started for a client that found no broker: by now another one serves it, and this one would never have any.
    if (options.untilIdle) finish(undefined)
    else standBy(POLL_MIN_MS)
  }

  return {
    get state() {
      if (stopping) return 'stopped'
      return owner ? 'owner' : 'standby'
    },
    get address() {
      return owner && { socket: owner.socket, listen: owner.listening }
    },
    closed,
    stats: () => owner?.stats(),
    async stop() {
      await stop()
      end()
    },
  }
}

/**
 * Keeps a damaged store aside and brings everything intact over into a fresh one; leaves a sound one alone. Throws
 * `StoreRefusedError` when a broker runs in the folder, or the store is not ours, newer, or not there.
 */
export function salvage(data: string): Salvage {
  const folder = resolve(data)
  prepareFolder(folder)
  const lock = takeLock(join(folder, 'owner.lock'))
  if (!lock) throw new StoreRefusedError(folder, 'is in use by a running broker; stop it first')
  try {
    return salvageStore(join(folder, 'broker.db'), new Date())
  } finally {
    lock.release()
  }
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535) {
    throw new ConfigError('The broker', [{ path: 'listen', expected: 'host:port, such as 127.0.0.1:5673', got: JSON.stringify(text) }])
  }
  return { host: match[1] ?? (match[2] || '127.0.0.1'), port }
}

function readTls(files: { cert: string; key: string }): { cert: Buffer; key: Buffer } {
  try {
    const tls = { cert: readFileSync(files.cert), key: readFileSync(files.key) }
    createSecureContext(tls)
    return tls
  } catch (error) {
    throw new ConfigError('The broker', [{ path: 'tls', expected: 'files of PEM: a certificate and its key', got: messageOf(error) }])
  }
}
