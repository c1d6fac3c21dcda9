import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Entry, LargeBody, Message } from '../engine/message.ts'
import type { QueueKey, StoredMessage } from '../engine/store.ts'
import { idOf, nameOf } from './bodies.ts'
import { NOT_DROPPED } from './drops.ts'

/** The statements on messages exist twice: for the durable table and for the temporary one. */
export interface MessageTable {
  readonly insert: StatementSync
  readonly remove: StatementSync
  readonly removeRange: StatementSync
  readonly giveBack: StatementSync
  readonly page: StatementSync
  /** Without what was dropped. */
  readonly pageVisible: StatementSync
  readonly read: StatementSync
}

export function prepareTable(db: DatabaseSync, table: string): MessageTable {
  // Both in one piece: making an array for each costs as much as all the rest.
  const bytes = 'length(properties), CAST(properties || body AS BLOB)'
  const columns = `seq, expires_at, deliveries, redelivered, exchange, routing_key, ${bytes}, bytes`
  const select = (where: string): StatementSync => {
    const statement = db.prepare(`SELECT ${columns} FROM ${table} WHERE ${where}`)
    statement.setReturnArrays(true)
    return statement
  }
  return {
    insert: db.prepare(
      `INSERT INTO ${table} (seq, queue, lane, bytes, expires_at, exchange, routing_key, properties, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    remove: db.prepare(`DELETE FROM ${table} WHERE seq = ?`),
    removeRange: db.prepare(`DELETE FROM ${table} WHERE seq BETWEEN ? AND ?`),
    giveBack: db.prepare(`UPDATE ${table} SET deliveries = ?, redelivered = 1 WHERE seq = ?`),
    page: select('queue = ? AND lane = ? AND seq > ? ORDER BY seq LIMIT ?'),
    pageVisible: select(`queue = ? AND lane = ? AND seq > ? AND ${table === 'main.message' ? NOT_DROPPED : 'true'} ORDER BY seq LIMIT ?`),
    read: select('seq = ?'),
  }
}

export function insert(table: MessageTable, entry: Entry): void {
  const { message, queue, seq, lane, bytes, expiresAt = null } = entry
  if (!message) return
  const body = message.body instanceof Uint8Array ? message.body : nameOf(message.body)
  table.insert.run(seq, queue.id, lane, bytes, expiresAt, message.exchange, message.routingKey, message.properties, body)
}

/** Numbers without a gap go in one statement: nothing else can lie between them. */
export function remove(table: MessageTable, entries: readonly Entry[], kept: boolean): void {
  const seqs = entries.filter((entry) => entry.queue.kept === kept).map((entry) => entry.seq)
  if (seqs.length === 0) return
  seqs.sort((a, b) => a - b)
  let first = seqs[0] ?? 0
  let last = first
  const flush = (): void => {
    if (first === last) table.remove.run(first)
    else table.removeRange.run(first, last)
  }
  for (const seq of seqs) {
    if (seq > last + 1) {
      flush()
      first = seq
    }
    last = seq
  }
  flush()
}

/** Rows come as arrays: names would be made anew for each. */
export type MessageRow = readonly [
  seq: number,
  expiresAt: number | null,
  deliveries: number,
  redelivered: number,
  exchange: string,
  routingKey: string,
  propertiesLength: number,
  content: Uint8Array,
  bytes: number,
]

type LargeBodyOf = (id: number, size: number) => LargeBody

export function page(
  table: MessageTable,
  queue: QueueKey,
  lane: number,
  after: number,
  limit: number,
  maxBytes: number,
  some: boolean,
  large: LargeBodyOf,
): StoredMessage[] {
  const found: StoredMessage[] = []
  let bytes = 0
  for (const row of (some ? table.pageVisible : table.page).iterate(queue.id, lane, after, limit) as Iterable<unknown>) {
    const [seq, expiresAt, deliveries, redelivered, ...message] = row as MessageRow
    found.push({ seq, expiresAt: expiresAt ?? undefined, deliveries, redelivered: redelivered === 1, message: messageOf(message, large) })
    bytes += message[3].length
    if (bytes >= maxBytes) break
  }
  return found
}

export function messageOf(
  [exchange, routingKey, split, content, bytes]: readonly [string, string, number, Uint8Array, number],
  large: LargeBodyOf,
): Message {
  const body = content.subarray(split)
  return {
    exchange,
    routingKey,
    properties: content.subarray(0, split),
    body: bytes > content.length ? large(idOf(body), bytes - split) : body,
  }
}
