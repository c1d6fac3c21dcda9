/** The sockets the master holds, by the address the config names. */
import { type Listener, startListener } from './backlog.ts'
import { type Bound, bindSocket } from './listen.ts'
import type { Listening } from './units.ts'

export class Sockets {
  /** Those that processes of units accept from. */
  readonly #shared = new Map<string, Bound>()
  /** One at most, but named like the others, so that it can be handed on like them. */
  readonly #probes = new Map<string, Bound>()

  #listener: Listener | undefined

  /** `inherited` from the master this one takes over from, as its `all`. */
  constructor(inherited: ReadonlyMap<string, Bound> = new Map()) {
    for (const [name, bound] of inherited) this.#mapOf(name).set(name, bound)
  }

  get all(): ReadonlyMap<string, Bound> {
    return new Map([...this.#shared, ...this.#probes])
  }

  /** `open` will follow, and need not wait then for what takes the longest of it. */
  prepare(): void {
    this.#listener ??= startListener()
  }

  /** Binds what is not held yet: all of it, or nothing where one rejects. Ends what was prepared. */
  async open(wanted: readonly Listening[]): Promise<void> {
    const missing = wanted.filter(({ address }) => !this.#shared.has(address))
    if (missing.length > 0) this.prepare()
    const listenBy =
      (backlog: number) =>
      async (fd: number): Promise<void> =>
        this.#listener?.listen(fd, backlog)
    const results = await Promise.allSettled(
      missing.map(({ address, key, backlog }) => bindSocket(address, { key, listen: listenBy(backlog) })),
    )
    this.#listener?.close()
    this.#listener = undefined
    const failure = results.find((result) => result.status === 'rejected')
    for (const [index, result] of results.entries()) {
      if (result.status === 'rejected') continue
      if (failure) result.value.close()
      else this.#shared.set(missing[index]?.address ?? '', result.value)
    }
    if (failure) throw failure.reason
  }

  async openProbes(address: string): Promise<Bound> {
    const name = PROBES + address
    const bound = this.#probes.get(name) ?? (await bindSocket(address, { key: 'probes' }))
    this.#probes.set(name, bound)
    return bound
  }

  /** Closes all others but that of the probes; `shared`: another master has them too. The workers have descriptors of their own. */
  keep(wanted: readonly Listening[], shared: boolean): void {
    closeOthers(this.#shared, addressesOf(wanted), shared)
  }

  close(shared: boolean): void {
    this.#listener?.close()
    for (const held of [this.#shared, this.#probes]) closeOthers(held, [], shared)
  }

  /** In the order of `wanted`. */
  of(wanted: readonly Listening[]): readonly Bound[] {
    return wanted.flatMap(({ address }) => this.#shared.get(address) ?? [])
  }

  /** What an inherited config named and the one in force does not. */
  dropUnused(wanted: readonly Listening[], probes: string | undefined): void {
    closeOthers(this.#shared, addressesOf(wanted), true)
    closeOthers(this.#probes, probes === undefined ? [] : [PROBES + probes], true)
  }

  #mapOf(name: string): Map<string, Bound> {
    return name.startsWith(PROBES) ? this.#probes : this.#shared
  }
}

const PROBES = 'probes '

const addressesOf = (wanted: readonly Listening[]): readonly string[] => wanted.map(({ address }) => address)

function closeOthers(held: Map<string, Bound>, names: readonly string[], shared: boolean): void {
  for (const [name, bound] of held) {
    if (names.includes(name)) continue
    bound.close({ shared })
    held.delete(name)
  }
}
