/** Exchanges for brokers that have only queues: bindings lie somewhere in the broker, and a publisher finds the queues itself. */
import type { ExchangeType } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import { bindingKey, bindingMatcher } from '../../core/routing.ts'

export interface VirtualBinding {
  readonly queue: string
  readonly routingKey: string
  readonly arguments: Headers
}

/** An exchange as the broker keeps it. */
export interface VirtualExchange {
  readonly type: ExchangeType
  readonly bindings: readonly VirtualBinding[]
}

/** Routing keys remembered per exchange; forgotten all at once when there are more. */
const REMEMBERED = 2_000

/** Finds the queues of one exchange. Frozen in time: when the bindings have changed, make another. */
export class Router {
  readonly #type: ExchangeType
  readonly #bindings: readonly (VirtualBinding & { readonly words: readonly string[] })[]
  readonly #known = new Map<string, readonly string[]>()

  constructor({ type, bindings }: VirtualExchange) {
    this.#type = type
    this.#bindings = bindings.map((binding) => ({ ...binding, words: binding.routingKey.split('.') }))
  }

  /** Each queue once, in the order of the bindings. */
  route(routingKey: string, headers: Headers = {}): readonly string[] {
    // Two messages with one key may have different headers.
    if (this.#type === 'headers') return this.#match(routingKey, headers)
    const known = this.#known.get(routingKey)
    if (known) return known
    const found = this.#match(routingKey, headers)
    if (this.#known.size >= REMEMBERED) this.#known.clear()
    this.#known.set(routingKey, found)
    return found
  }

  #match(routingKey: string, headers: Headers): readonly string[] {
    const fits = bindingMatcher(this.#type, routingKey, () => headers)
    return [...new Set(this.#bindings.filter(fits).map(({ queue }) => queue))]
  }
}

/** What a transport knows of where its broker keeps exchanges. */
export interface ExchangeStore {
  /** Undefined where there is none of that name. Rejects as the transport's session does. */
  find(exchange: string): Promise<VirtualExchange | undefined>
}

/**
 * Routers of a session, loaded when first needed. Whoever changes bindings, or learns that they have changed, must `forget`; a
 * transport that cannot learn of it forgets after a while.
 */
export class Exchanges {
  readonly #store: ExchangeStore
  readonly #routers = new Map<string, Promise<Router | undefined>>()

  constructor(store: ExchangeStore) {
    this.#store = store
  }

  /** The queues a message goes to; the exchange '' leads to the queue its key names. Undefined where there is no such exchange. */
  async route(exchange: string, routingKey: string, headers?: Headers): Promise<readonly string[] | undefined> {
    if (exchange === '') return [routingKey]
    return (await this.#router(exchange))?.route(routingKey, headers)
  }

  forget(exchange: string): void {
    this.#routers.delete(exchange)
  }

  #router(exchange: string): Promise<Router | undefined> {
    const known = this.#routers.get(exchange)
    if (known) return known
    const loading = this.#load(exchange)
    this.#routers.set(exchange, loading)
    return loading
  }

  /** Neither a failure nor an exchange that is missing is remembered: somebody may make it. */
  async #load(exchange: string): Promise<Router | undefined> {
    let found: VirtualExchange | undefined
    try {
      found = await this.#store.find(exchange)
      return found && new Router(found)
    } finally {
      if (found === undefined) this.#routers.delete(exchange)
    }
  }
}

/** The bindings with one more; the same ones where it was there. */
export function withBinding(bindings: readonly VirtualBinding[], added: VirtualBinding): readonly VirtualBinding[] {
  const key = keyOf(added)
  return bindings.some((binding) => keyOf(binding) === key) ? bindings : [...bindings, added]
}

/** The bindings without one; one that is not there is no error. */
export function withoutBinding(bindings: readonly VirtualBinding[], gone: VirtualBinding): readonly VirtualBinding[] {
  const key = keyOf(gone)
  return bindings.filter((binding) => keyOf(binding) !== key)
}

const keyOf = ({ queue, routingKey, arguments: given }: VirtualBinding): string => bindingKey(queue, routingKey, given)
