/** Which files each unit has loaded, or looked for in vain. */

export interface ModuleGraph {
  add(unit: string, child: number, files: readonly string[]): void
  /** The child works: what earlier ones that failed had loaded counts no more. */
  worked(unit: string, child: number): void
  /** The child is gone. What it had loaded is kept where it failed, or nobody of its unit is left to say more. */
  ended(child: number): void
  /** Whether anything is known of what it loads. */
  knows(unit: string): boolean
  /** The units that loaded any of them. */
  unitsOf(files: readonly string[]): ReadonlySet<string>
}

interface Entry {
  readonly unit: string
  readonly files: Set<string>
  works: boolean
  ended: boolean
}

export function createGraph(): ModuleGraph {
  const entries = new Map<number, Entry>()
  const others = (child: number, unit: string): [number, Entry][] =>
    [...entries].filter(([id, entry]) => id !== child && entry.unit === unit)
  return {
    add(unit, child, files) {
      const entry = entries.get(child) ?? { unit, files: new Set(), works: false, ended: false }
      entries.set(child, entry)
      for (const file of files) entry.files.add(file)
    },
    worked(unit, child) {
      const entry = entries.get(child)
      if (entry) entry.works = true
      for (const [id, other] of others(child, unit)) if (other.ended) entries.delete(id)
    },
    ended(child) {
      const entry = entries.get(child)
      if (!entry) return
      entry.ended = true
      const family = others(child, entry.unit)
      if (entry.works && family.some(([, other]) => !other.ended)) entries.delete(child)
      // One that is gone is enough to tell what to wait for.
      for (const [id, other] of family) if (other.ended) entries.delete(id)
    },
    knows: (unit) => [...entries.values()].some((entry) => entry.unit === unit),
    unitsOf(files) {
      const found = [...entries.values()].filter((entry) => files.some((file) => entry.files.has(file)))
      return new Set(found.map(({ unit }) => unit))
    },
  }
}
