/** SQLite's write-ahead log, read without SQLite (https://www.sqlite.org/fileformat2.html#the_write_ahead_log). */

const HEADER = 32
const FRAME_HEADER = 24
/** Of a log whose checksums are big-endian words; the other one differs by its last bit. */
const MAGIC = 0x377f0683

export interface Frame {
  readonly page: number
  /** Pages of the database after the commit this frame ends; 0 for any other frame. */
  readonly commit: number
  readonly data: Buffer
  /** Its checksum, reckoned on from the one stored in the frame before it, is right. */
  readonly intact: boolean
}

/** The frames since the log was last begun anew, damaged ones too: each is judged by itself. */
export function readFrames(log: Buffer, pageSize: number): Frame[] {
  const size = FRAME_HEADER + pageSize
  if (log.length < HEADER + size) return []
  const sound = hasSoundHeader(log)
  const bigEndian = sound && isBigEndian(log)
  // A damaged header takes neither the salts, which every frame repeats, nor the byte order, which is this machine's.
  const salts = sound ? log.subarray(16, 24) : log.subarray(HEADER + 8, HEADER + 16)
  const frames: Frame[] = []
  let before: readonly [number, number] = [log.readUInt32BE(24), log.readUInt32BE(28)]
  for (let at = HEADER; at + size <= log.length; at += size) {
    const head = log.subarray(at, at + FRAME_HEADER)
    const data = log.subarray(at + FRAME_HEADER, at + size)
    const [a, b] = checksum(data, bigEndian, checksum(head.subarray(0, 8), bigEndian, before))
    before = [head.readUInt32BE(16), head.readUInt32BE(20)]
    // The sum of the first frame goes on from the header's.
    const right = (a === before[0] && b === before[1]) || (!sound && at === HEADER)
    frames.push({ page: head.readUInt32BE(0), commit: head.readUInt32BE(4), data, intact: right && head.compare(salts, 0, 8, 8, 16) === 0 })
  }
  // What is left of an older, longer log has other salts.
  return frames.slice(0, frames.findLastIndex(({ intact }) => intact) + 1)
}

/**
 * Whether the log was damaged after it was written, which SQLite does not tell: it ends the log at the first wrong frame.
 * A process that dies or a machine without power leaves at most the last transaction in part, as nothing of the next one is
 * written before it is synced; so two commits behind a wrong frame are two that were promised.
 */
export function isDamaged(log: Buffer, pageSize: number): boolean {
  const frames = readFrames(log, pageSize)
  // Its header was synced before the first commit was promised.
  const wrong = frames.length > 0 && !hasSoundHeader(log) ? 0 : frames.findIndex(({ intact }) => !intact)
  return wrong >= 0 && frames.slice(wrong).filter(({ intact, commit }) => intact && commit > 0).length > 1
}

/** The pages the log brings, the newest of each, up to the last commit, and how many frames were damaged. */
export function newestPages(log: Buffer, pageSize: number): { pages: Map<number, Buffer>; size: number; damaged: number } {
  const frames = readFrames(log, pageSize)
  const last = frames.findLastIndex(({ intact, commit }) => intact && commit > 0)
  const pages = new Map<number, Buffer>()
  let damaged = 0
  for (const { page, data, intact } of frames.slice(0, last + 1)) {
    if (intact) pages.set(page, data)
    else damaged++
  }
  return { pages, size: frames[last]?.commit ?? 0, damaged }
}

const isBigEndian = (log: Buffer): boolean => (log.readUInt32BE(0) & 1) === 1

function hasSoundHeader(log: Buffer): boolean {
  if (log.readUInt32BE(0) >>> 1 !== MAGIC >>> 1) return false
  const [a, b] = checksum(log.subarray(0, 24), isBigEndian(log), [0, 0])
  return a === log.readUInt32BE(24) && b === log.readUInt32BE(28)
}

/** Both sums go on from `before`. Pairs of words in the byte order the magic number says. */
function checksum(data: Buffer, bigEndian: boolean, [first, second]: readonly [number, number]): [number, number] {
  let a = first
  let b = second
  for (let at = 0; at < data.length; at += 8) {
    const x = bigEndian ? data.readUInt32BE(at) : data.readUInt32LE(at)
    const y = bigEndian ? data.readUInt32BE(at + 4) : data.readUInt32LE(at + 4)
    a = (a + x + b) >>> 0
    b = (b + y + a) >>> 0
  }
  return [a, b]
}
