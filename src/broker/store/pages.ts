/** The b-tree pages of an SQLite file, read without SQLite (https://www.sqlite.org/fileformat2.html), for a file it refuses. */

/** No bytes are reserved at the ends of pages of ours. */
const LEAF_OF_TABLE = 0x0d
const LEAF_OF_INDEX = 0x0a
const INTERIOR_OF_INDEX = 0x02
const FREE = 2

export type Value = number | string | Uint8Array | null

export interface Row {
  /** The rowid in a table; 0 in an index or a table without rowids. */
  readonly id: number
  readonly values: readonly Value[]
}

export interface Pages {
  readonly size: number
  readonly pageSize: number
  /** Undefined where the file has no such page. */
  get(page: number): Buffer | undefined
}

export type PageKind = 'table' | 'index'

export interface RowsOfPage {
  readonly page: number
  readonly kind: PageKind
  readonly rows: Row[]
  /** Rows of the page that could not be read. */
  readonly damaged: number
}

/** The rows of every page that holds some and is in use. */
export function* scanRows(pages: Pages): Generator<RowsOfPage> {
  for (let page = 1; page <= pages.size; page++) {
    const data = pages.get(page)
    if (!data || isPointerMap(page, pages.pageSize) || isFree(pages, page)) continue
    const start = page === 1 ? 100 : 0
    const type = data[start]
    if (type !== LEAF_OF_TABLE && type !== LEAF_OF_INDEX && type !== INTERIOR_OF_INDEX) continue
    yield { page, kind: type === LEAF_OF_TABLE ? 'table' : 'index', ...rowsOf(pages, data, start, type) }
  }
}

/** The root of the b-tree a page belongs to, as far as pointer maps tell. */
export function rootOf(pages: Pages, page: number): number | undefined {
  let at = page
  // No b-tree is deeper.
  for (let depth = 0; depth < 20; depth++) {
    const entry = pointer(pages, at)
    if (!entry) return undefined
    if (entry.type === 1) return at
    if (entry.type !== 5) return undefined
    at = entry.parent
  }
  return undefined
}

function rowsOf(pages: Pages, data: Buffer, start: number, type: number): { rows: Row[]; damaged: number } {
  const cells = data.readUInt16BE(start + 3)
  const list = start + (type === INTERIOR_OF_INDEX ? 12 : 8)
  const rows: Row[] = []
  let damaged = 0
  for (let n = 0; n < cells && list + 2 * n + 2 <= data.length; n++) {
    try {
      rows.push(cell(pages, data, data.readUInt16BE(list + 2 * n), type))
    } catch {
      damaged++
    }
  }
  return { rows, damaged }
}

function cell(pages: Pages, data: Buffer, start: number, type: number): Row {
  let at = type === INTERIOR_OF_INDEX ? start + 4 : start
  const [length, afterLength] = varint(data, at)
  at = afterLength
  let id = 0
  if (type === LEAF_OF_TABLE) [id, at] = varint(data, at)
  const usable = pages.pageSize
  const most = type === LEAF_OF_TABLE ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23
  if (length <= most) return { id, values: record(slice(data, at, at + length)) }
  const least = Math.floor(((usable - 12) * 32) / 255) - 23
  const some = least + ((length - least) % (usable - 4))
  const local = some <= most ? some : least
  const parts = [slice(data, at, at + local)]
  let left = length - local
  let next = slice(data, at + local, at + local + 4).readUInt32BE(0)
  while (left > 0) {
    const page = next > 1 ? pages.get(next) : undefined
    if (!page) throw new RangeError('an overflow page is missing')
    const part = page.subarray(4, 4 + Math.min(left, usable - 4))
    parts.push(part)
    left -= part.length
    next = page.readUInt32BE(0)
  }
  if (next !== 0) throw new RangeError('a chain of overflow pages is too long')
  return { id, values: record(Buffer.concat(parts)) }
}

/** Bytes of the values by serial type, 0 to 9. */
const SIZES = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0]

function record(data: Buffer): Value[] {
  const [headerSize, first] = varint(data, 0)
  const values: Value[] = []
  let type = first
  let at = headerSize
  while (type < headerSize) {
    const [serial, next] = varint(data, type)
    type = next
    const size = serial < 10 ? (SIZES[serial] ?? 0) : Math.floor((serial - 12) / 2)
    values.push(value(serial, slice(data, at, at + size)))
    at += size
  }
  if (type !== headerSize || at !== data.length) throw new RangeError('a record does not end where it should')
  return values
}

function value(serial: number, bytes: Buffer): Value {
  if (serial === 0) return null
  if (serial <= 5) return bytes.readIntBE(0, bytes.length)
  if (serial === 6) return Number(bytes.readBigInt64BE(0))
  if (serial === 7) return bytes.readDoubleBE(0)
  if (serial === 8 || serial === 9) return serial - 8
  if (serial < 12) throw new RangeError('a value of a type that is not in use')
  return serial % 2 === 0 ? Uint8Array.from(bytes) : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
}

/** Of at most 9 bytes, big-endian in groups of seven bits. Returns it and where it ends. */
function varint(data: Buffer, start: number): [value: number, end: number] {
  let result = 0
  for (let n = 0; n < 8; n++) {
    const byte = slice(data, start + n, start + n + 1)[0] ?? 0
    result = result * 128 + (byte & 0x7f)
    if (byte < 0x80) return [result, start + n + 1]
  }
  throw new RangeError('a number is too large')
}

function slice(data: Buffer, start: number, end: number): Buffer {
  if (start > end || end > data.length) throw new RangeError('a value lies outside of its page')
  return data.subarray(start, end)
}

/** Entries of five bytes for the pages behind it fill a pointer-map page. */
const perMap = (pageSize: number): number => Math.floor(pageSize / 5)

const isPointerMap = (page: number, pageSize: number): boolean => page >= 2 && (page - 2) % (perMap(pageSize) + 1) === 0

function pointer(pages: Pages, page: number): { type: number; parent: number } | undefined {
  if (page < 3) return undefined
  const group = perMap(pages.pageSize) + 1
  const map = page - ((page - 2) % group)
  const data = pages.get(map)
  const at = (page - map - 1) * 5
  if (!data || at < 0) return undefined
  return { type: data[at] ?? 0, parent: data.readUInt32BE(at + 1) }
}

/** A free page may still show messages that were settled. Only a pointer map without any nonsense is believed. */
function isFree(pages: Pages, page: number): boolean {
  const entry = pointer(pages, page)
  return entry?.type === FREE && entry.parent === 0
}
