import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { ByteReader, ByteWriter, readTable, writeTable } from '../../amqp/index.ts'
import type { ExchangeType } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import type { Snapshot, StoredBinding } from '../engine/store.ts'
import { NOT_DROPPED } from './drops.ts'

export const BINDINGS = { queue: 'binding', exchange: 'exchange_binding' } as const

type Row = Record<string, SQLOutputValue>

const bytesAt = (row: Row, column: string): Uint8Array => {
  const value = row[column]
  return value instanceof Uint8Array ? value : new Uint8Array()
}

export function load(db: DatabaseSync): Snapshot {
  const number = (sql: string): number => Number(Object.values(db.prepare(sql).get() ?? {})[0] ?? 0)
  const suspectBelow = (): number => number("SELECT value FROM meta WHERE key = 'suspect_below'")
  // Not below the suspects either, or new messages would be taken for some of them.
  const nextSeq = Math.max(number('SELECT max(seq) FROM message') + 1, suspectBelow())
  const clean = db.prepare("DELETE FROM meta WHERE key = 'clean'").run().changes > 0
  if (!clean) db.prepare("INSERT OR REPLACE INTO meta VALUES ('suspect_below', ?)").run(nextSeq)
  return {
    exchanges: db
      .prepare('SELECT * FROM exchange')
      .all()
      .map((row) => ({
        name: String(row['name']),
        type: String(row['type']) as ExchangeType,
        autoDelete: row['auto_delete'] === 1,
        internal: row['internal'] === 1,
        arguments: unpack(bytesAt(row, 'arguments')),
      })),
    queues: db
      .prepare('SELECT * FROM queue ORDER BY id')
      .all()
      .map((row) => ({
        id: Number(row['id']),
        name: String(row['name']),
        autoDelete: row['auto_delete'] === 1,
        arguments: unpack(bytesAt(row, 'arguments')),
      })),
    bindings: [...bindings(db, 'queue'), ...bindings(db, 'exchange')],
    counts: db
      .prepare(`SELECT queue, lane, count(*) AS messages, sum(bytes) AS bytes FROM message WHERE ${NOT_DROPPED} GROUP BY queue, lane`)
      .all()
      .map((row) => ({
        queue: Number(row['queue']),
        lane: Number(row['lane']),
        messages: Number(row['messages']),
        bytes: Number(row['bytes']),
      })),
    nextSeq,
    nextQueueId: Math.max(number('SELECT max(id) FROM queue'), number('SELECT max(queue) FROM dropped')) + 1,
    suspectBelow: suspectBelow(),
  }
}

function bindings(db: DatabaseSync, to: StoredBinding['to']): StoredBinding[] {
  const statement = db.prepare(`SELECT * FROM ${BINDINGS[to]}`)
  statement.setReturnArrays(true)
  return (statement.all() as unknown as [string, string, string, Uint8Array][]).map(([exchange, destination, routingKey, packed]) => ({
    exchange,
    to,
    destination,
    routingKey,
    arguments: unpack(packed),
  }))
}

export function pack(table: Headers): Uint8Array {
  const writer = new ByteWriter(256)
  writeTable(writer, table)
  return writer.take()
}

const unpack = (bytes: Uint8Array): Headers => readTable(new ByteReader(Buffer.from(bytes)))
