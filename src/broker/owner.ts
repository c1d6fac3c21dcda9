import type { Server } from 'node:net'
import { systemClock } from '../core/clock.ts'
import { announce, inspectSocketOf, makeSocketPath, removeFormer, withdraw } from './announcement.ts'
import type { EngineEvent } from './engine/index.ts'
import { StoreFullError } from './engine/store.ts'
import { isLoopback, isWelcome } from './listener/handshake.ts'
import { Listener, type ListenerEvent } from './listener/listener.ts'
import { keptPassword } from './password.ts'
import { type BrokerStats, sampler, serveStatistics } from './statistics.ts'
import { isUser } from './users.ts'
import { Vhosts } from './vhosts.ts'
import { alarmAt, defaultMaxMemory, readLevels } from './watermarks.ts'

/** Below this much free space publishes are refused, so that what is settled can still be written. Bytes. */
const MIN_FREE = 64 * 1024 * 1024
const CHECK_LEVELS_MS = 500
const IDLE_MS = 3_000
/** Between looks after the store, and while there is something to do. */
const TEND_MS = 1_000
const TEND_SOON_MS = 20
/** The first client of a broker that ends when idle may take longer. Milliseconds. */
const FIRST_CLIENT_MS = 15_000

export type OwnerEvent =
  | EngineEvent
  | ListenerEvent
  /** Publishers are blocked. */
  | { readonly type: 'alarm'; readonly reason: string }
  | { readonly type: 'alarm-over' }

export interface OwnerOptions {
  readonly data: string
  readonly listen: { readonly host: string; readonly port: number } | undefined
  /** Instead of plain TCP. PEM. */
  readonly tls: { readonly cert: Buffer; readonly key: Buffer } | undefined
  readonly vhosts: readonly string[]
  readonly minFreeBytes: number | undefined
  readonly maxStoreBytes: number | undefined
  readonly maxMemoryBytes: number | undefined
  readonly maxBodyBytes: number | undefined
  readonly onEvent: (event: OwnerEvent) => void
  /** Nobody is connected, for some seconds now. */
  readonly onIdle: () => void
}

export interface Owner {
  readonly socket: string
  /** `host:port` on TCP. */
  readonly listening: string | undefined
  stats(): BrokerStats
  stop(): Promise<void>
}

/** Opens the store, serves it and announces where. Only for the holder of the folder's lock. */
export async function startOwner(options: OwnerOptions): Promise<Owner> {
  const { data, listen, onEvent, onIdle, maxStoreBytes, minFreeBytes = MIN_FREE, maxMemoryBytes = defaultMaxMemory() } = options
  // The log must fit into the reserve, or it could not be written into the main file when that is what makes room.
  const logPages = Math.min(4000, Math.max(100, Math.floor(minFreeBytes / 4 / 4096)))
  let cramped = false
  let failed = false
  let checkedAt = 0
  let alarm: string | undefined
  const checkLevels = (): void => {
    checkedAt = vhosts.insertedBytes
    if (alarm?.startsWith('DISK') || cramped) cramped = !reclaimed(vhosts)
    const limits = { minFreeBytes, maxStoreBytes, maxMemoryBytes }
    const reason = alarmAt(readLevels(data, maxStoreBytes === undefined ? 0 : vhosts.usedBytes()), limits, alarm)
    const news = (reason === undefined) !== (alarm === undefined)
    alarm = reason
    if (!news) return
    vhosts.setAlarm(reason)
    listener.setAlarm(reason)
    onEvent(reason === undefined ? { type: 'alarm-over' } : { type: 'alarm', reason })
  }
  const vhosts: Vhosts = new Vhosts({
    data,
    names: options.vhosts,
    logPages,
    clock: systemClock,
    defer: (callback) =>
      void setImmediate(() => {
        callback()
        listener.flush()
        // The disk may fill faster than the clock ticks.
        if (vhosts.insertedBytes - checkedAt > minFreeBytes / 16) checkLevels()
      }),
    onEvent: (event) => {
      if (event.type === 'store-full') cramped = true
      if (event.type === 'store-failed') failed = true
      onEvent(event)
    },
  })
  const idle = idleTimer(onIdle)
  const password = listen && !isLoopback(listen.host) && listen.host !== 'localhost' ? keptPassword(data) : undefined
  const listener: Listener = new Listener({
    engineOf: (vhost) => vhosts.engineOf(vhost),
    admits: ({ user, password: given }, local) => isWelcome({ user, password: given }, local, password) || isUser(data, user, given),
    bodyMax: options.maxBodyBytes,
    onEvent: (event) => {
      idle(listener.clients)
      onEvent(event)
    },
  })
  removeFormer(data)
  const socket = makeSocketPath()
  let listening: string | undefined
  let informer: Server | undefined
  const startedAt = performance.now()
  const samples = sampler(() => vhosts.stats())
  const stats = (): BrokerStats => ({
    pid: process.pid,
    uptimeMs: Math.round(performance.now() - startedAt),
    alarm,
    memoryBytes: process.memoryUsage.rss(),
    messageBytes: vhosts.messageBytes,
    storeBytes: failed ? 0 : vhosts.usedBytes(),
    clients: listener.clients,
    queues: vhosts.stats().map((queue) => ({ ...queue, rates: samples.rates(queue) })),
    connections: listener.stats(),
  })
  try {
    await listener.listen({ path: socket })
    if (listen) listening = `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${await listener.listen(listen, options.tls)}`
    informer = await serveStatistics(inspectSocketOf(socket), stats)
    announce(data, {
      socket,
      pid: process.pid,
      inspect: inspectSocketOf(socket),
      ...(listening === undefined ? {} : { listen: listening }),
    })
  } catch (error) {
    informer?.close()
    samples.stop()
    await listener.close(320, 'CONNECTION_FORCED - the broker could not start')
    withdraw(data, socket)
    vhosts.close(false)
    throw error
  }
  checkLevels()
  const watch = setInterval(checkLevels, CHECK_LEVELS_MS).unref()
  const tend = (): void => {
    let more = false
    try {
      more = !failed && vhosts.tend()
    } catch (error) {
      // Without room it is tried again; whatever else went wrong leaves no certainty.
      if (!(error instanceof StoreFullError)) {
        failed = true
        return onEvent({ type: 'store-failed', error })
      }
    }
    tending = setTimeout(tend, more ? TEND_SOON_MS : TEND_MS).unref()
  }
  let tending = setTimeout(tend, TEND_MS).unref()

  return {
    socket,
    listening,
    stats,
    async stop() {
      clearInterval(watch)
      clearTimeout(tending)
      informer?.close()
      samples.stop()
      idle(1)
      withdraw(data, socket)
      vhosts.flush()
      listener.flush()
      await listener.close(320, 'CONNECTION_FORCED - the broker stops')
      vhosts.close(!failed)
    },
  }
}

function reclaimed(vhosts: Vhosts): boolean {
  try {
    vhosts.reclaim()
    return true
  } catch {
    // As full as before; the next check tries again.
    return false
  }
}

/** Returns what must be told the number of clients at each change. */
function idleTimer(onIdle: () => void): (clients: number) => void {
  let timer: NodeJS.Timeout | undefined = setTimeout(onIdle, FIRST_CLIENT_MS).unref()
  return (clients) => {
    clearTimeout(timer)
    timer = clients === 0 ? setTimeout(onIdle, IDLE_MS).unref() : undefined
  }
}
