import type { ExchangeType } from '../../core/entities.ts'
import type { Headers, HeaderValue } from '../../core/message.ts'
import type { Message } from './message.ts'
import { headersOf } from './properties.ts'
import type { Queue } from './queue.ts'
import { precondition } from './refusals.ts'
import { matchesTopic } from './topic.ts'

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

interface Bound {
  readonly target: Target
  readonly routingKey: string
  readonly words: readonly string[]
  readonly arguments: Headers
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
    if (this.traits.type === 'headers') return this.#match(matcherOfHeaders(headersOf(message)))
    const key = this.traits.type === 'fanout' ? '' : routingKey
    const known = this.#cache.get(key)
    if (known) return known
    const found = this.#match(this.#matcher(key))
    if (this.#cache.size >= CACHE_LIMIT) this.#cache.clear()
    this.#cache.set(key, found)
    return found
  }

  #matcher(key: string): (bound: Bound) => boolean {
    if (this.traits.type === 'fanout') return () => true
    if (this.traits.type === 'direct') return (bound) => bound.routingKey === key
    const words = key.split('.')
    return (bound) => matchesTopic(bound.words, words)
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

function keyOf(target: Target, routingKey: string, bindingArguments: Headers): string {
  const sorted = Object.entries(bindingArguments).toSorted(([a], [b]) => (a < b ? -1 : 1))
  const place = target instanceof Exchange ? [target.traits.name] : target.id
  return JSON.stringify([place, routingKey, sorted], plain)
}

// JSON knows no bigint, and takes a Date for its text before a replacer sees it, which is as good here.
const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value)

const MATCHES: readonly HeaderValue[] = ['all', 'any', 'all-with-x', 'any-with-x', undefined]

function checkMatch(value: HeaderValue): void {
  if (MATCHES.includes(value)) return
  throw precondition(`Invalid x-match field value <<"${String(value)}">>; expected all, any, all-with-x, or any-with-x`)
}

/** AMQP 0-9-1 §3.1.3.4: `x-match` says whether all or any of the binding's headers must be there; a void one asks for presence alone. */
function matcherOfHeaders(headers: Headers): (bound: Bound) => boolean {
  return (bound) => {
    const mode = bound.arguments['x-match'] ?? 'all'
    const withX = mode === 'all-with-x' || mode === 'any-with-x'
    const wanted = Object.entries(bound.arguments).filter(([key]) => key !== 'x-match' && (withX || !key.startsWith('x-')))
    const fits = ([key, value]: [string, HeaderValue]): boolean => {
      const has = headers[key]
      return value === null || value === undefined ? has !== undefined : has !== undefined && equal(has, value)
    }
    return mode === 'any' || mode === 'any-with-x' ? wanted.some(fits) : wanted.every(fits)
  }
}

const equal = (a: HeaderValue, b: HeaderValue): boolean => a === b || JSON.stringify(a, plain) === JSON.stringify(b, plain)
