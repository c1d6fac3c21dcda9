import type { ExchangeType } from '../../core/entities.ts'
import type { Headers, HeaderValue } from '../../core/message.ts'
import { bindingKey, bindingMatcher, type BoundBy, headerMatches } from '../../core/routing.ts'
import type { Message } from './message.ts'
import { headersOf } from './properties.ts'
import type { Queue } from './queue.ts'
import { precondition } from './refusals.ts'

export interface ExchangeTraits {
  readonly name: string
  readonly type: ExchangeType
  readonly durable: boolean
  readonly autoDelete: boolean
  /** Clients cannot publish to it; dead letters and alternates can. */
  readonly internal: boolean
  readonly arguments: Headers
}

/** Where a binding leads. */
export type Target = Queue | Exchange

export interface Matched {
  readonly queues: readonly Queue[]
  readonly exchanges: readonly Exchange[]
}

interface Bound extends BoundBy {
  readonly target: Target
}

const NOBODY: Matched = Object.freeze({ queues: [], exchanges: [] })
/** Routing keys remembered per exchange; forgotten all at once when bindings change or there are more. */
const CACHE_LIMIT = 2000

export class Exchange {
  readonly traits: ExchangeTraits
  readonly alternate: string | undefined
  readonly #bindings = new Map<string, Bound>()
  readonly #cache = new Map<string, Matched>()

  constructor(traits: ExchangeTraits) {
    this.traits = traits
    const alternate = traits.arguments['alternate-exchange']
    this.alternate = typeof alternate === 'string' ? alternate : undefined
  }

  get bindings(): Iterable<Bound> {
    return this.#bindings.values()
  }

  get used(): boolean {
    return this.#bindings.size > 0
  }

  /** False when the binding was already there. Throws 406 for arguments a headers exchange cannot use. */
  bind(target: Target, routingKey: string, bindingArguments: Headers): boolean {
    if (this.traits.type === 'headers') checkMatch(bindingArguments['x-match'])
    const key = keyOf(target, routingKey, bindingArguments)
    if (this.#bindings.has(key)) return false
    this.#bindings.set(key, { target, routingKey, words: routingKey.split('.'), arguments: bindingArguments })
    this.#cache.clear()
    return true
  }

  /** False when there was none. */
  unbind(target: Target, routingKey: string, bindingArguments: Headers): boolean {
    this.#cache.clear()
    return this.#bindings.delete(keyOf(target, routingKey, bindingArguments))
  }

  /** Removes every binding to a target; true when there was one. */
  forget(target: Target): boolean {
    this.#cache.clear()
    let found = false
    for (const [key, bound] of this.#bindings) {
      if (bound.target === target) found = this.#bindings.delete(key)
    }
    return found
  }

  /** Where this exchange alone sends a message that has a routing key, each target once. */
  match(message: Message, routingKey: string): Matched {
    if (this.#bindings.size === 0) return NOBODY
    const matcher = (key: string): ((bound: BoundBy) => boolean) => bindingMatcher(this.traits.type, key, () => headersOf(message))
    // Two messages with one key may have different headers.
    if (this.traits.type === 'headers') return this.#match(matcher(routingKey))
    const key = this.traits.type === 'fanout' ? '' : routingKey
    const known = this.#cache.get(key)
    if (known) return known
    const found = this.#match(matcher(key))
    if (this.#cache.size >= CACHE_LIMIT) this.#cache.clear()
    this.#cache.set(key, found)
    return found
  }

  #match(matches: (bound: Bound) => boolean): Matched {
    const queues = new Set<Queue>()
    const exchanges = new Set<Exchange>()
    for (const bound of this.#bindings.values()) {
      if (!matches(bound)) continue
      if (bound.target instanceof Exchange) exchanges.add(bound.target)
      else queues.add(bound.target)
    }
    return { queues: [...queues], exchanges: [...exchanges] }
  }
}

const keyOf = (target: Target, routingKey: string, bindingArguments: Headers): string =>
  bindingKey(target instanceof Exchange ? [target.traits.name] : target.id, routingKey, bindingArguments)

function checkMatch(value: HeaderValue): void {
  if (headerMatches.includes(value)) return
  throw precondition(`Invalid x-match field value <<"${String(value)}">>; expected all, any, all-with-x, or any-with-x`)
}
