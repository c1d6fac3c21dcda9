import type { DatabaseSync } from 'node:sqlite'
import { idOf, isWhole } from './bodies.ts'
import { VERSION } from './database.ts'
import { type Pages, rootOf, type Row, type RowsOfPage, scanRows, type Value } from './pages.ts'
import { StoreRefusedError } from './refused.ts'

/** What was brought over, and how many rows, pages of the log or of bindings could not be. */
export interface Counts {
  readonly queues: number
  readonly exchanges: number
  readonly bindings: number
  readonly messages: number
  readonly damaged: number
}

/** What the values of each table are, in order: `n`umber or null, `i`nteger, `t`ext, `b`lob, `-` nothing (a rowid's place). */
const SHAPES = {
  message: '-iiiniittbb',
  queue: '-tib',
  dropped: 'iiii',
  exchange: 'ttiib',
  binding: 'tttb',
  exchange_binding: 'tttb',
} as const
type Table = keyof typeof SHAPES

/** Rows in one transaction. */
const CHUNK = 10_000

/** Puts every intact row of the pages into a fresh store, looking at each page by itself. Throws `StoreRefusedError` for what is not ours. */
export function fillFresh(db: DatabaseSync, pages: Pages, source: string): Counts {
  const roots = new Map<number, string>()
  const schema = new Set<string>()
  for (const { name, rootpage, sql } of db.prepare('SELECT name, rootpage, sql FROM sqlite_schema').all()) {
    roots.set(Number(rootpage), String(name))
    schema.add(String(sql))
  }
  const readable = refuseForeign(pages, schema, source)

  const found = readTopology(pages, roots)
  const { queues, exchanges } = found
  const isDropped = (queue: number, lane: number, seq: number): boolean =>
    found.dropped.some(([q, l, after, upto]) => q === queue && (l === -1 || l === lane) && seq > after && seq <= upto)

  const insert = db.prepare(
    `INSERT OR IGNORE INTO message (seq, queue, lane, bytes, expires_at, deliveries, redelivered, exchange, routing_key, properties, body)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  let messages = 0
  let damaged = found.damaged
  let inChunk = 0
  const ownerless = new Set<number>()
  db.exec('BEGIN')
  for (const page of scanRows(pages)) {
    if (page.kind === 'table') damaged += page.damaged
    for (const { id, values } of rowsOf('message', page, roots, pages)) {
      const [, queue, lane, bytes, ...rest] = values as [null, number, number, number, ...Value[]]
      const [properties, body] = rest.slice(-2) as [Uint8Array, Uint8Array]
      const missing = bytes - properties.length - body.length
      // Of a large body the row holds the name alone.
      if (missing !== 0 && (missing < 0 || !isWhole(source, idOf(body), bytes - properties.length))) {
        damaged++
        continue
      }
      if (isDropped(queue, lane, id)) continue
      if (!queues.has(queue)) ownerless.add(queue)
      messages += Number(insert.run(id, queue, lane, bytes, ...rest).changes)
      if (++inChunk % CHUNK === 0) db.exec('COMMIT; BEGIN')
    }
  }
  if (!readable && messages + queues.size === 0 && pages.size > 0) {
    throw new StoreRefusedError(source, 'holds nothing that this broker could have written')
  }
  // Their queue's own row is lost.
  const empty = new Uint8Array()
  for (const id of ownerless) queues.set(id, [`salvaged.${id}`, 0, empty])
  for (const [id, [name, autoDelete, args]] of queues) {
    db.prepare('INSERT OR IGNORE INTO queue VALUES (?, ?, ?, ?)').run(id, name, autoDelete, args)
  }
  for (const row of exchanges.values()) db.prepare('INSERT OR IGNORE INTO exchange VALUES (?, ?, ?, ?, ?)').run(...row)
  let bindings = 0
  for (const table of ['binding', 'exchange_binding'] as const) {
    for (const row of found[table]) bindings += Number(db.prepare(`INSERT OR IGNORE INTO ${table} VALUES (?, ?, ?, ?)`).run(...row).changes)
  }
  db.exec('COMMIT')
  return { queues: queues.size, exchanges: exchanges.size, bindings, messages, damaged }
}

type QueueRow = [name: string, autoDelete: number, args: Uint8Array]
type ExchangeRow = [name: string, type: string, autoDelete: number, internal: number, args: Uint8Array]
type BindingRow = [from: string, to: string, routingKey: string, args: Uint8Array]

interface Topology {
  readonly queues: Map<number, QueueRow>
  readonly exchanges: Map<string, ExchangeRow>
  readonly binding: BindingRow[]
  readonly exchange_binding: BindingRow[]
  readonly dropped: [queue: number, lane: number, after: number, upto: number][]
  readonly damaged: number
}

function readTopology(pages: Pages, roots: ReadonlyMap<number, string>): Topology {
  const queues = new Map<number, QueueRow>()
  const exchanges = new Map<string, ExchangeRow>()
  const binding: BindingRow[] = []
  const exchange_binding: BindingRow[] = []
  const homeless: BindingRow[] = []
  const dropped: Topology['dropped'] = []
  let damaged = 0
  for (const page of scanRows(pages)) {
    const of = (table: Table): Row[] => rowsOf(table, page, roots, pages)
    for (const { id, values } of of('queue')) queues.set(id, values.slice(1) as QueueRow)
    for (const { values } of of('dropped')) dropped.push(values as Topology['dropped'][number])
    for (const { values } of of('exchange')) exchanges.set(String(values[0]), values as ExchangeRow)
    const root = page.kind === 'index' ? rootOf(pages, page.page) : undefined
    if (page.kind === 'index') {
      const name = root === undefined ? undefined : roots.get(root)
      const rows = (): BindingRow[] =>
        page.rows.filter(({ values }) => fits(values, SHAPES.binding)).map(({ values }) => values as BindingRow)
      if (name === 'binding') binding.push(...rows())
      else if (name === 'exchange_binding') exchange_binding.push(...rows())
      else if (name === undefined) homeless.push(...rows())
      if (name === 'binding' || name === 'exchange_binding' || name === 'exchange') damaged += page.damaged
    }
  }
  // Where the pointer map is lost, names tell a binding from the index that holds it the other way round.
  const names = new Set([...queues.values()].map(([name]) => name))
  const isExchange = (name: string): boolean => exchanges.has(name) || name.startsWith('amq.')
  for (const row of homeless) {
    if (!isExchange(row[0])) continue
    if (names.has(row[1])) binding.push(row)
    else if (isExchange(row[1])) exchange_binding.push(row)
  }
  return { queues, exchanges, binding, exchange_binding, dropped, damaged }
}

/** The rows of a page that are of this table: by its root where that is known, else by what they look like. */
function rowsOf(table: Table, page: RowsOfPage, roots: ReadonlyMap<number, string>, pages: Pages): Row[] {
  const isIndex = table === 'exchange'
  if ((page.kind === 'index') !== isIndex) return []
  const shape = SHAPES[table]
  const rows = page.rows.filter(({ values }) => fits(values, shape))
  if (rows.length === 0) return rows
  const root = rootOf(pages, page.page)
  const name = root === undefined ? undefined : roots.get(root)
  return name === undefined || name === table ? rows : []
}

function fits(values: readonly Value[], shape: string): boolean {
  if (values.length !== shape.length) return false
  return values.every((value, n) => {
    switch (shape[n]) {
      case '-':
        return value === null
      case 'n':
        return value === null || typeof value === 'number'
      case 'i':
        return Number.isSafeInteger(value)
      case 't':
        return typeof value === 'string'
      default:
        return value instanceof Uint8Array
    }
  })
}

/** Returns whether the file says what it is. */
function refuseForeign(pages: Pages, schema: ReadonlySet<string>, source: string): boolean {
  const first = pages.get(1)
  const own = first && [...scanRows({ ...pages, size: 1 })][0]
  const texts = own?.rows.map(({ values }) => values[4]).filter((sql) => typeof sql === 'string') ?? []
  if (!first || texts.length === 0) return false
  const isOurs = [...schema].some((sql) => sql.startsWith('CREATE TABLE message') && texts.includes(sql))
  if (!isOurs) throw new StoreRefusedError(source, 'is not a store of this broker')
  const version = first.readUInt32BE(60)
  if (version > VERSION && texts.some((sql) => !schema.has(sql))) {
    throw new StoreRefusedError(source, `was written by a newer version (store version ${version}, this one knows up to ${VERSION})`)
  }
  return true
}
