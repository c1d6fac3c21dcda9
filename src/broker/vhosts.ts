/** Virtual hosts: each has an engine and a store of its own, so that nothing of one is seen in another. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../core/errors.ts'
import { Engine, type EngineOptions, type QueueStats } from './engine/index.ts'
import { prepareFolder } from './store/folder.ts'
import { openStore, type SqliteStore } from './store/sqlite-store.ts'

const DEFAULT = '/'

export interface VhostsOptions extends Omit<EngineOptions, 'store'> {
  readonly data: string
  /** Made where they are not there yet, besides the default one. */
  readonly names: readonly string[]
  readonly logPages: number
}

/** All virtual hosts of a folder; what stores and engines do, they do together. */
export class Vhosts {
  readonly #all = new Map<string, { readonly engine: Engine; readonly store: SqliteStore }>()

  /** Throws `StoreRefusedError`, and `ConfigError` for a name that cannot be. */
  constructor({ data, names, logPages, ...options }: VhostsOptions) {
    try {
      for (const [name, folder] of foldersOf(data, names)) {
        const store = openStore(join(folder, 'broker.db'), { logPages })
        this.#all.set(name, { store, engine: new Engine({ ...options, store }) })
      }
    } catch (error) {
      for (const { store } of this.#all.values()) store.close(false)
      throw error
    }
  }

  /** Undefined where there is no such virtual host. */
  engineOf(name: string): Engine | undefined {
    return this.#all.get(name)?.engine
  }

  /** Of all messages that were inserted since it was opened. */
  get insertedBytes(): number {
    return this.#sum(({ store }) => store.insertedBytes)
  }

  get messageBytes(): number {
    return this.#sum(({ engine }) => engine.budget.bytes)
  }

  usedBytes(): number {
    return this.#sum(({ store }) => store.usedBytes())
  }

  /** Queues of others than the default one have its name in front. */
  stats(): readonly QueueStats[] {
    return [...this.#all].flatMap(([vhost, { engine }]) =>
      vhost === DEFAULT ? engine.stats() : engine.stats().map((queue) => ({ ...queue, name: `${vhost}/${queue.name}` })),
    )
  }

  setAlarm(reason: string | undefined): void {
    for (const { engine } of this.#all.values()) engine.setAlarm(reason)
  }

  /** Throws `StoreFullError`. */
  reclaim(): void {
    for (const { store } of this.#all.values()) store.reclaim()
  }

  /** True if there is more to do soon. Throws `StoreFullError`, and others for what cannot be healed. */
  tend(): boolean {
    return this.#sum(({ store }) => Number(store.tend())) > 0
  }

  flush(): void {
    for (const { engine } of this.#all.values()) engine.flush()
  }

  close(clean: boolean): void {
    for (const { engine, store } of this.#all.values()) {
      engine.close()
      store.close(clean)
    }
  }

  #sum(of: (vhost: { engine: Engine; store: SqliteStore }) => number): number {
    let sum = 0
    for (const vhost of this.#all.values()) sum += of(vhost)
    return sum
  }
}

/** A virtual host that was made once is there until its folder is deleted. */
function foldersOf(data: string, names: readonly string[]): ReadonlyMap<string, string> {
  const parent = join(data, 'vhosts')
  const made = [...new Set(names)].filter((name) => name !== DEFAULT)
  for (const name of made) {
    if (name === '' || Buffer.byteLength(name) > 80) {
      throw new ConfigError('The broker', [{ path: 'vhosts', expected: 'names of 1 to 80 bytes', got: JSON.stringify(name) }])
    }
    prepareFolder(join(parent, encoded(name)))
  }
  const folders = existsSync(parent) ? readdirSync(parent) : []
  const kept = folders.map((folder): [string, string] => [decodeURIComponent(folder), join(parent, folder)])
  return new Map([[DEFAULT, data], ...kept])
}

// Also the dots, which alone would mean other folders.
const encoded = (name: string): string => encodeURIComponent(name).replaceAll('.', '%2E')
