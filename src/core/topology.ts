/** What has been declared through a connection: once each, and again on every new publishing session. */
import { type Exchange, type Queue, isQueue } from './entities.ts'
import { ConnectionError, UnsupportedError } from './errors.ts'
import type { QueueState, Session } from './transport.ts'

/** A question to the broker, asked again on the next session if the link dies under it. */
export type Ask = <T>(question: (session: Session) => Promise<T>, deadlineMs?: number) => Promise<T>

export class Topology {
  readonly #ask: Ask
  /** A promise while it is under way. */
  readonly #entities = new Map<Exchange | Queue, Promise<QueueState | undefined> | undefined>()

  constructor(ask: Ask) {
    this.#ask = ask
  }

  /** Resolves with the state of a queue. */
  declare(entity: Exchange | Queue, deadlineMs?: number): Promise<QueueState | undefined> {
    // An exclusive queue belongs to the session that declares it, and the publishing one is not where it is consumed.
    if (isQueue(entity) && entity.exclusive) {
      return Promise.reject(new UnsupportedError('An exclusive queue is declared by consume(), on the session that uses it'))
    }
    // One promise for all who wait, so that publishes go on in the order they came.
    const declared = this.#ask((session) => declareOn(session, entity), deadlineMs).then(
      (state) => {
        this.#entities.set(entity, undefined)
        return state
      },
      (error: unknown) => {
        this.#entities.delete(entity)
        throw error
      },
    )
    this.#entities.set(entity, declared)
    return declared
  }

  /** What a publish to `target` has to wait for: nothing for a name, and nothing once an entity is declared. */
  declaring(target: Exchange | Queue | string, deadlineMs: number): Promise<unknown> | undefined {
    if (typeof target === 'string' || target.name === '' || target.name.startsWith('amq.')) return undefined
    return this.#entities.has(target) ? this.#entities.get(target) : this.declare(target, deadlineMs)
  }

  forget(entity: Exchange | Queue): void {
    this.#entities.delete(entity)
  }

  /** All of it again; what the broker refuses is told and passed over. Rejects when the link dies. */
  async restore(session: Session, onRefused: (entity: Exchange | Queue, error: unknown) => void): Promise<void> {
    for (const [entity, underWay] of this.#entities) {
      if (underWay) continue
      try {
        await declareOn(session, entity)
      } catch (error) {
        if (error instanceof ConnectionError) throw error
        onRefused(entity, error)
      }
    }
  }
}

async function declareOn(session: Session, entity: Exchange | Queue): Promise<QueueState | undefined> {
  if (isQueue(entity)) return session.declareQueue(entity)
  await session.declareExchange(entity)
  return undefined
}

export async function inspectExchange(session: Session, { name }: Exchange): Promise<void> {
  if (!session.inspectExchange) throw new UnsupportedError(`This broker cannot tell whether the exchange "${name}" exists`)
  await session.inspectExchange(name)
}
