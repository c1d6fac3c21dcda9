/** Which bindings of an exchange a message fits (AMQP 0-9-1 §3.1.3). The built-in broker and the virtual exchanges of `transports/kit` share it. */
import type { ExchangeType } from './entities.ts'
import type { Headers, HeaderValue } from './message.ts'

/** What of a binding decides. */
export interface BoundBy {
  readonly routingKey: string
  /** The routing key between its dots, split once. */
  readonly words: readonly string[]
  readonly arguments: Headers
}

/** A test for each binding of one exchange. `headers` are asked for where the type looks at them. */
export function bindingMatcher(type: ExchangeType, routingKey: string, headers: () => Headers): (bound: BoundBy) => boolean {
  switch (type) {
    case 'fanout':
      return () => true
    case 'direct':
      return (bound) => bound.routingKey === routingKey
    case 'topic': {
      const words = routingKey.split('.')
      return (bound) => matchesTopic(bound.words, words)
    }
    case 'headers': {
      const given = headers()
      return (bound) => matchesHeaders(bound.arguments, given)
    }
  }
}

/** What `x-match` may be. */
export const headerMatches: readonly HeaderValue[] = ['all', 'any', 'all-with-x', 'any-with-x', undefined]

/** A binding as one text, by which two that are the same are found to be. */
export function bindingKey(target: unknown, routingKey: string, bindingArguments: Headers): string {
  const sorted = Object.entries(bindingArguments).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([target, routingKey, sorted], plain)
}

/**
 * Whether a routing key fits a topic pattern: words between dots, `*` is one word, `#` any number, also none.
 * Only the last `#` is ever widened, so hostile patterns cost at most words × parts.
 */
function matchesTopic(pattern: readonly string[], words: readonly string[]): boolean {
  let p = 0
  let w = 0
  let hash = -1
  let widened = 0
  while (w < words.length) {
    const part = pattern[p]
    if (part === '#') {
      hash = p++
      widened = w
    } else if (part !== undefined && (part === '*' || part === words[w])) {
      p++
      w++
    } else if (hash >= 0) {
      p = hash + 1
      w = ++widened
    } else return false
  }
  while (pattern[p] === '#') p++
  return p === pattern.length
}

/** `x-match` says whether all or any of the binding's headers must be there (§3.1.3.4); a void one asks for presence alone. */
function matchesHeaders(bound: Headers, headers: Headers): boolean {
  const mode = bound['x-match'] ?? 'all'
  const withX = mode === 'all-with-x' || mode === 'any-with-x'
  const wanted = Object.entries(bound).filter(([key]) => key !== 'x-match' && (withX || !key.startsWith('x-')))
  const fits = ([key, value]: [string, HeaderValue]): boolean => {
    const has = headers[key]
    return value === null || value === undefined ? has !== undefined : has !== undefined && equal(has, value)
  }
  return mode === 'any' || mode === 'any-with-x' ? wanted.some(fits) : wanted.every(fits)
}

const equal = (a: HeaderValue, b: HeaderValue): boolean => a === b || JSON.stringify(a, plain) === JSON.stringify(b, plain)

// JSON knows no bigint, and takes a Date for its text before a replacer sees it, which is as good here.
const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value)
