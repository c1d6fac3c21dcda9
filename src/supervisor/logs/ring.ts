/** The last that each process has written, so that it can be asked for; also of one that is gone. */

export interface LogLine {
  /** Of the process, such as `web.1`, or `master`. */
  readonly unit: string
  readonly line: string
}

/** `missed`: lines that were left out before these. */
export type LogListener = (label: string, lines: readonly string[], missed: number) => void

export interface LogRing {
  add(label: string, lines: readonly string[], missed?: number): void
  /** The last `count` lines of the labels that are wanted, in the order they came here: processes tell by turns, so that only those of one are exactly in order. */
  last(count: number, wants: (label: string) => boolean): LogLine[]
  /** Hears all that is added from now on. Returns what ends it. */
  listen(listener: LogListener): () => void
}

interface Kept {
  readonly order: number
  readonly line: string
}

/** Of each process. Characters. */
const MOST = 65_536
/** What a line costs besides its text, roughly. Characters. */
const OVERHEAD = 64

export function createRing(): LogRing {
  const labels = new Map<string, { lines: Kept[]; size: number }>()
  const listeners = new Set<LogListener>()
  let order = 0
  return {
    add(label, added, missed = 0) {
      const kept = labels.get(label) ?? { lines: [], size: 0 }
      labels.set(label, kept)
      for (const line of added) {
        kept.lines.push({ order: order++, line })
        kept.size += line.length + OVERHEAD
      }
      let dropped = 0
      // One that is too long alone stays until the next: it is the last that was written.
      for (const { line } of kept.lines) {
        if (kept.size <= MOST || dropped === kept.lines.length - 1) break
        kept.size -= line.length + OVERHEAD
        dropped++
      }
      kept.lines.splice(0, dropped)
      for (const listener of listeners) listener(label, added, missed)
    },
    last(count, wants) {
      if (count === 0) return []
      const wanted = [...labels].flatMap(([unit, { lines }]) => (wants(unit) ? lines.map((kept) => ({ unit, ...kept })) : []))
      const inOrder = wanted.toSorted((a, b) => a.order - b.order).slice(-count)
      return inOrder.map(({ unit, line }) => ({ unit, line }))
    },
    listen(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
