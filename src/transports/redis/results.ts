/** Results of tasks in Redis, as Celery's Redis result backend keeps them: a key with a time to live, and a channel of its name. */
import { sleep, systemClock } from '../../core/clock.ts'
import { ConnectionError } from '../../core/errors.ts'
import type { ResultStore, Watch } from '../../core/results.ts'
import { type Address, describe, parseAddress } from './address.ts'
import { connectionError } from './errors.ts'
import { settingsOf } from './npm-redis.ts'
import { loadRedis } from './peer.ts'
import { addCommand, type PartKeys, partKeys, partsOf } from './result-parts.ts'

const KEY = 'celery-task-meta-'
/** Celery's `result_expires`. Seconds. */
const EXPIRES_S = 86_400
const CONNECT_MS = 5_000
/** Between looks for what a broken connection may have kept from us, and between tries to connect again. Milliseconds. */
const LOOK_MS = 1_000
const AGAIN_MS = 200

/** What we use of npm's client. */
interface Client {
  readonly isReady: boolean
  on(event: 'error', listener: (error: unknown) => void): unknown
  connect(): Promise<unknown>
  get(key: string): Promise<string | null>
  set(key: string, value: string, options: object): Promise<unknown>
  publish(channel: string, message: string): Promise<unknown>
  subscribe(channel: string, listener: (message: string) => void): Promise<void>
  unsubscribe(channel: string): Promise<void>
  sendCommand(command: readonly string[]): Promise<unknown>
  destroy(): void
}

/** Lazy; one connection, which is made anew when it has broken. Throws a fatal `ConnectionError` for a URL that cannot be used. */
export function redisResults(url: URL): ResultStore {
  const address = parseAddress(url)
  const keyOf = (id: string): string => `${address.names.prefix}${KEY}${id}`
  const closed = new AbortController()
  let opening: Promise<Client> | undefined

  const client = async (): Promise<Client> => {
    closed.signal.throwIfAborted()
    const known = await opening?.catch(() => undefined)
    if (!known?.isReady) opening = undefined
    opening ??= openClient(address)
    return opening
  }

  /** Again and again where the connection is broken. */
  const within = async <T>(deadlineMs: number, work: (redis: Client) => Promise<T>): Promise<T> => {
    const endsAt = systemClock.monotonic() + deadlineMs
    for (;;) {
      try {
        return await work(await client())
      } catch (error) {
        const reason = connectionError(describe(address), error)
        if (reason.fatal || systemClock.monotonic() >= endsAt) throw reason
        await sleep(AGAIN_MS, { signal: closed.signal })
      }
    }
  }
  const keysOf = (whole: string): PartKeys => partKeys(address.names.prefix, whole)

  return {
    put: (id, text, deadlineMs) =>
      within(deadlineMs, async (redis) => {
        await redis.set(keyOf(id), text, { expiration: { type: 'EX', value: EXPIRES_S } })
        await redis.publish(keyOf(id), text)
      }),

    expectParts: (whole, count, deadlineMs) =>
      within(deadlineMs, async (redis) => {
        await redis.set(keysOf(whole).size, String(count), { expiration: { type: 'EX', value: EXPIRES_S } })
      }),
    addPart: (whole, part, deadlineMs) =>
      within(deadlineMs, async (redis) => partsOf(await redis.sendCommand(addCommand(keysOf(whole), part, EXPIRES_S)))),
    forgetParts: (whole, deadlineMs) =>
      within(deadlineMs, async (redis) => {
        const { parts, size, added } = keysOf(whole)
        await redis.sendCommand(['DEL', parts, size, added])
      }),

    watch(id, onText): Watch {
      const { promise: begun, resolve } = Promise.withResolvers<void>()
      const stopping = new AbortController()
      const signal = AbortSignal.any([stopping.signal, closed.signal])
      const look = async (subscribed: Client | undefined): Promise<Client> => {
        const redis = await client()
        // Of another connection than the one before: its subscriptions went with it.
        if (redis !== subscribed) await redis.subscribe(keyOf(id), onText)
        const text = await redis.get(keyOf(id))
        if (text !== null) onText(text)
        return redis
      }
      const run = async (): Promise<void> => {
        let subscribed: Client | undefined
        while (!signal.aborted) {
          subscribed = await look(subscribed).catch(() => undefined)
          resolve()
          await sleep(LOOK_MS, { signal, unref: true }).catch(() => undefined)
        }
        if (subscribed?.isReady) await subscribed.unsubscribe(keyOf(id)).catch(() => undefined)
      }
      void run()
      return { begun, stop: () => stopping.abort() }
    },

    async close() {
      closed.abort(new ConnectionError('The results were closed'))
      const redis = await opening?.catch(() => undefined)
      if (redis?.isReady) redis.destroy()
      opening = undefined
    },
  }
}

async function openClient(address: Address): Promise<Client> {
  const { createClient } = await loadRedis()
  const settings = await settingsOf({ address, name: 'results', connectTimeoutMs: CONNECT_MS })
  // By which one connection is for commands and channels both.
  const opened = createClient({ ...settings, RESP: 3 }) as unknown as Client
  // Told by each command, too; without a listener it would end the process.
  opened.on('error', () => undefined)
  await opened.connect()
  return opened
}
