/**
 * Effects once. Delivery is at least once, so the same message may come twice; an inbox marks it as handled in the transaction in
 * which its handler writes, so that both are there or neither, and another copy of the message finds the mark.
 */
import { createHash } from 'node:crypto'
import type { Delivery } from '../core/delivery.ts'
import type { Queue } from '../core/entities.ts'
import { givenIdOf } from './envelope.ts'

/** What makes two deliveries the same message. Each part has at most 255 bytes, and no NUL. */
export interface InboxKey {
  /** The effect is that of this queue's consumers: others have their own. */
  readonly queue: string
  /** Who published it, which is its `appId`; '' where it does not say. */
  readonly source: string
  readonly id: string
}

/** `Transaction` is what handlers write through: a client of the database, or an ORM's object for it. */
export interface Inbox<Transaction> {
  /**
   * Begins a transaction and marks `key` in it. Where that is new, awaits `work`, commits, and resolves 'handled'; what `work` rejects
   * with rolls back, mark included, and is thrown on. Where it was marked before, resolves 'duplicate' without `work`. Of two calls with one
   * key at a time, in any two processes, the second waits for the first's end. Called concurrently.
   *
   * `signal` aborts when the handler's time is over or the process stops. After a timeout `work` has rejected while the handler may
   * still run: nothing that it then does may be committed.
   *
   * A failure that is the database's own is thrown as `Transient`; any other counts as the handler's.
   */
  once(key: InboxKey, work: (transaction: Transaction) => Promise<void>, signal: AbortSignal): Promise<'handled' | 'duplicate'>
}

/** What any key column holds. Bytes. */
const MAX_BYTES = 255

/** Undefined for a message without an id: nothing tells it from another with the same bytes. Retries keep the key. */
export function inboxKeyOf(queue: Queue, delivery: Delivery): InboxKey | undefined {
  const id = givenIdOf(delivery)
  if (id === undefined) return undefined
  return { queue: queue.name, source: storable(delivery.properties.appId ?? ''), id: storable(id) }
}

/** Not every broker limits what a publisher may write there. */
function storable(text: string): string {
  if (Buffer.byteLength(text) <= MAX_BYTES && !text.includes('\0')) return text
  return createHash('sha256').update(text).digest('base64url')
}
