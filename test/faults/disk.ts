/** A folder on a disk that keeps no more than POSIX promises: what was not synced may be there after a power loss, or not, or in part. */
import type { Call } from './recording.ts'

/** What a disk writes whole or not at all. Bytes. */
const SECTOR = 512

interface File {
  /** As of the last sync. */
  durable: Buffer
  /** Where the next write without a place goes. */
  size: number
  /** Since then, in order. */
  pending: (Extract<Call, { type: 'write' }> | Extract<Call, { type: 'truncate' }>)[]
}

/** Whether the next thing that was not synced, a sector or a name, is kept. */
export type Luck = () => boolean

export const noLuck: Luck = () => false

/** The same for the same seed. */
export function luck(seed: number): Luck {
  let state = seed
  return () => {
    // A linear congruential generator (Numerical Recipes); its high bits are random enough for a coin.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >= 0x8000_0000
  }
}

export class Disk {
  /** As processes see it. */
  readonly #files = new Map<string, File>()
  /** Names as of the last sync of the folder, and what was done to them since, each step whole. */
  #names = new Map<string, File>()
  #steps: ((names: Map<string, File>) => void)[] = []
  readonly #lies: boolean

  /** `lies`: says of every sync that it was done, and does nothing. */
  constructor({ lies = false }: { lies?: boolean } = {}) {
    this.#lies = lies
  }

  do(call: Call): void {
    if (call.type === 'create') return void (this.#files.has(call.name) || this.#create(call.name))
    if (call.type === 'sync' && call.name === '') return call.failed ? undefined : this.#syncNames()
    const file = this.#files.get(call.name) ?? this.#create(call.name)
    switch (call.type) {
      case 'rename':
        return this.#step((names) => void (names.delete(call.name), names.set(call.to, file)))
      case 'remove':
        return this.#step((names) => void names.delete(call.name))
      case 'truncate':
        file.size = call.size
        return void file.pending.push(call)
      case 'write': {
        const { at = file.size } = call
        file.size = Math.max(file.size, at + call.data.length)
        return void file.pending.push({ ...call, at })
      }
      case 'sync':
        return this.#sync(file, call.failed)
    }
  }

  /** What a start after a power loss finds. */
  afterPowerLoss(kept: Luck): Map<string, Buffer> {
    const names = new Map(this.#names)
    // Journals keep the order of names: what comes after one that is gone is gone too.
    const firstGone = this.#steps.findIndex(() => !kept())
    for (const step of firstGone < 0 ? this.#steps : this.#steps.slice(0, firstGone)) step(names)
    return new Map([...names].map(([name, file]) => [name, contents(file, kept)]))
  }

  #create(name: string): File {
    const file: File = { durable: Buffer.alloc(0), size: 0, pending: [] }
    this.#step((names) => void names.set(name, file))
    return file
  }

  #step(step: (names: Map<string, File>) => void): void {
    step(this.#files)
    this.#steps.push(step)
  }

  #syncNames(): void {
    if (this.#lies) return
    this.#names = new Map(this.#files)
    this.#steps = []
  }

  /** After a sync that failed, Linux takes what it could not write for written: no later sync tries again. */
  #sync(file: File, failed: boolean): void {
    if (this.#lies) return
    if (!failed) file.durable = contents(file, () => true)
    file.pending = []
  }
}

function contents({ durable, pending }: File, kept: Luck): Buffer {
  let result = Buffer.from(durable)
  const grow = (size: number): void => void (result = size > result.length ? Buffer.concat([result], size) : result)
  for (const call of pending) {
    if (call.type === 'truncate') {
      if (!kept()) continue
      grow(call.size)
      result = result.subarray(0, call.size)
      continue
    }
    const { at = 0, data } = call
    for (let from = 0; from < data.length;) {
      const to = Math.min(data.length, from + SECTOR - ((at + from) % SECTOR))
      if (kept()) {
        grow(at + to)
        data.copy(result, at + from, from, to)
      }
      from = to
    }
  }
  return result
}
