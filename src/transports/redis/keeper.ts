import { type Clock, sleep } from '../../core/clock.ts'
import type { Address } from './address.ts'
import { Letters } from './letters.ts'
import type { Reply } from './client.ts'
import type { Link } from './link.ts'
import { readRoutes } from './routes.ts'

/** The longest between two ticks: what expires, waits no longer than this for somebody to see it. Milliseconds. */
const TICK_MAX_MS = 250
/** The same of a session that only publishes, where there is nobody else. Milliseconds. */
const TICK_ALONE_MS = 1_000
/** Many sessions must not tick on after the other's heels. Milliseconds. */
const TICK_MIN_MS = 10
/** Between looks for messages whose Kombu died. Milliseconds. */
const STRAYS_MS = 10_000
/** Fields renewed by one script. */
const RENEWED = 500

export interface KeeperOptions {
  readonly link: Link
  readonly address: Address
  readonly clock: Clock
  /** Sessions of this process that died without a word, for one of the living to end. */
  readonly orphans: Set<string>
  /** Fields of what this session holds. */
  readonly held: () => Iterable<string>
  /** It has subscriptions. */
  readonly consuming: () => boolean
}

/**
 * Keeps a session alive, and looks after what nobody else does: messages that expire, dead letters on their way, sessions that died.
 * Every session does, and Redis sees to it that each thing is done once.
 */
export class Keeper {
  readonly #options: KeeperOptions
  readonly #letters: Letters
  readonly #stopping = new AbortController()
  #running: Promise<void> | undefined
  #wake: (() => void) | undefined

  constructor(options: KeeperOptions) {
    this.#options = options
    this.#letters = new Letters(options.link, options.address.names.sep, options.clock)
  }

  start(): void {
    this.#running = this.#run()
  }

  /** There is something to do now. */
  readonly hurry = (): void => this.#wake?.()

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { link, clock, address } = this.#options
    const renewMs = Math.min(STRAYS_MS, address.visibilityMs / 4)
    let renewAt = clock.monotonic() + renewMs
    let straysAt = clock.monotonic()
    while (link.open && !this.#stopping.signal.aborted) {
      try {
        const waitMs = await this.#tick()
        if (clock.monotonic() >= renewAt) {
          renewAt = clock.monotonic() + renewMs
          await this.#renew()
        }
        if (clock.monotonic() >= straysAt) {
          straysAt = clock.monotonic() + STRAYS_MS * (0.5 + Math.random())
          await this.#recoverStrays()
        }
        await this.#pause(waitMs)
      } catch (error) {
        link.verdict(error)
        return
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    const waiting = new AbortController()
    this.#wake = () => waiting.abort()
    const signal = AbortSignal.any([waiting.signal, this.#stopping.signal])
    await sleep(ms, { clock: this.#options.clock, signal, unref: true }).catch(() => undefined)
    this.#wake = undefined
  }

  /** Resolves with the milliseconds until the next one. */
  async #tick(): Promise<number> {
    const { link, address, orphans } = this.#options
    const ended = [...orphans]
    const reply = await link.runForBytes(
      'tick',
      String(address.leaseMs),
      JSON.stringify(ended),
      link.listens ? '1' : '',
      this.#letters.room,
    )
    for (const session of ended) orphans.delete(session)
    const [dueMs, letters] = reply as readonly [Buffer, readonly Buffer[]]
    await this.#letters.deliver(letters)
    const due = Number(dueMs.toString())
    // Several times a lease, which each one renews.
    const longest = Math.min(this.#options.consuming() ? TICK_MAX_MS : TICK_ALONE_MS, address.leaseMs / 4)
    return due < 0 ? longest : Math.max(TICK_MIN_MS, Math.min(longest, due + Math.random() * TICK_MIN_MS))
  }

  async #renew(): Promise<void> {
    const fields = [...this.#options.held()]
    for (let from = 0; from < fields.length; from += RENEWED) await this.#options.link.run('renew', ...fields.slice(from, from + RENEWED))
  }

  /** What a Kombu held that has died goes where its routing meant, by our rules: Kombu itself would lose a topic's. */
  async #recoverStrays(): Promise<void> {
    const { link, address } = this.#options
    const afterSeconds = String(address.visibilityMs / 1_000)
    const [strays, exchanges] = (await link.run('strays', afterSeconds)) as readonly [readonly Reply[], readonly Reply[]]
    const routes = readRoutes(address.names.sep, exchanges)
    for (const stray of strays) {
      const [field, exchange, routingKey] = stray as readonly [string, string, string]
      // A fanout's had one subscriber, and nothing says which: that is left to Kombu.
      if (routes.get(exchange)?.type === 'fanout') continue
      const found = exchange === '' ? [routingKey] : (routes.get(exchange)?.router.route(routingKey) ?? [])
      // Nobody is bound any more: by its key alone, as Kombu does, rather than nowhere.
      await link.run('recover', afterSeconds, field, JSON.stringify(found.length > 0 ? found : [routingKey]))
    }
  }
}
