/** Exchanges as they lie in Redis, and what a session remembers of them. */
import type { Exchange, ExchangeType } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import { Router, type VirtualBinding } from '../kit/exchanges.ts'
import type { Reply } from './client.ts'

/** An exchange's bindings as they were when last looked at. */
export interface Route {
  /** Changes with the bindings; '' where there is no such exchange. */
  readonly fingerprint: string
  readonly type: ExchangeType
  readonly router: Router
}

/** The lines by which a binding is kept, '' where it is in the other place. */
export interface BindingLines {
  /** In Kombu's set of the exchange, as Kombu writes it. */
  readonly kombu: string
  /** In ours: Kombu knows no binding with arguments, and they matter to headers exchanges alone. */
  readonly ours: string
}

export function bindingLines(sep: string, type: ExchangeType, { queue, routingKey, arguments: given }: VirtualBinding): BindingLines {
  if (type === 'headers') {
    const sorted = Object.entries(given).toSorted(([a], [b]) => (a < b ? -1 : 1))
    return { kombu: '', ours: JSON.stringify([queue, routingKey, Object.fromEntries(sorted)], plain) }
  }
  const pattern = type === 'topic' ? kombuPattern(routingKey) : ''
  return { kombu: [routingKey, pattern, queue].join(sep), ours: '' }
}

/** The expression Kombu matches a topic by. It is wrong about `*` and `#`, but its readers expect it. */
export function kombuPattern(routingKey: string): string {
  const escaped = routingKey.replaceAll(/[^\p{L}\p{N}.#*]/gu, (character) => `\\${character}`)
  const words = escaped.split('.').map((word) => (word === '*' ? '.*?[^\\.]' : word === '#' ? '.*?' : word))
  return `^${words.join('\\.')}$`
}

/** Reads `[name, fingerprint, record or '', Kombu's lines, ours]`, as scripts answer. */
export function readRoutes(sep: string, reply: readonly Reply[]): Map<string, Route> {
  const routes = new Map<string, Route>()
  for (const entry of reply) {
    const [name, fingerprint, record, kombu, ours] = textsIn(entry) as [string, string, string, string[], string[]]
    const bindings: VirtualBinding[] = []
    let patterns = false
    for (const line of kombu) {
      const [routingKey, pattern, queue, ...rest] = line.split(sep)
      if (routingKey === undefined || pattern === undefined || queue === undefined || rest.length > 0) continue
      patterns ||= pattern !== ''
      bindings.push({ queue, routingKey, arguments: {} })
    }
    for (const line of ours) {
      const [queue, routingKey, given] = JSON.parse(line) as [string, string, Headers]
      bindings.push({ queue, routingKey, arguments: given })
    }
    // Of an exchange that only Kombu knows nothing tells the type but what its bindings look like.
    const type = record === '' ? (patterns ? 'topic' : 'direct') : (JSON.parse(record) as Exchange).type
    routes.set(name, { fingerprint, type, router: new Router({ type, bindings }) })
  }
  return routes
}

type Texts = string | readonly Texts[]

const textsIn = (reply: Reply): Texts => (Array.isArray(reply) ? reply.map(textsIn) : String(reply))

const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? Number(value) : value)
