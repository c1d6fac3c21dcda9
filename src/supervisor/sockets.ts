/** The sockets the master holds, by the address the config names. */
import { type Listener, startListener } from './backlog.ts'
import { type Bound, bindSocket } from './listen.ts'

export class Sockets {
  readonly #web = new Map<string, Bound>()
  /** One at most, but named like the others, so that it can be handed on like them. */
  readonly #probes = new Map<string, Bound>()

  #listener: Listener | undefined

  /** `inherited` from the master this one takes over from, as its `all`. */
  constructor(inherited: ReadonlyMap<string, Bound> = new Map()) {
    for (const [name, bound] of inherited) this.#mapOf(name).set(name, bound)
  }

  get all(): ReadonlyMap<string, Bound> {
    return new Map([...this.#web, ...this.#probes])
  }

  /** `open` will follow, and need not wait then for what takes the longest of it. */
  prepare(): void {
    this.#listener ??= startListener()
  }

  /** Binds what is not held yet: all of it, or nothing where one rejects. Ends what was prepared. */
  async open(addresses: readonly string[], backlog = 0): Promise<void> {
    const missing = addresses.filter((address) => !this.#web.has(address))
    if (missing.length > 0) this.prepare()
    const listen = async (fd: number): Promise<void> => this.#listener?.listen(fd, backlog)
    const results = await Promise.allSettled(missing.map((address) => bindSocket(address, { key: 'web.bind', listen })))
    this.#listener?.close()
    this.#listener = undefined
    const failure = results.find((result) => result.status === 'rejected')
    for (const [index, result] of results.entries()) {
      if (result.status === 'rejected') continue
      if (failure) result.value.close()
      else this.#web.set(missing[index] ?? '', result.value)
    }
    if (failure) throw failure.reason
  }

  async openProbes(address: string): Promise<Bound> {
    const name = PROBES + address
    const bound = this.#probes.get(name) ?? (await bindSocket(address, { key: 'probes' }))
    this.#probes.set(name, bound)
    return bound
  }

  /** Closes the others of the web part; `shared`: another master has them too. The workers have descriptors of their own. */
  keep(addresses: readonly string[], shared: boolean): void {
    closeOthers(this.#web, addresses, shared)
  }

  close(shared: boolean): void {
    this.#listener?.close()
    for (const held of [this.#web, this.#probes]) closeOthers(held, [], shared)
  }

  /** In the order of `addresses`. */
  of(addresses: readonly string[]): readonly Bound[] {
    return addresses.flatMap((address) => this.#web.get(address) ?? [])
  }

  /** What an inherited config named and the one in force does not. */
  dropUnused(addresses: readonly string[], probes: string | undefined): void {
    closeOthers(this.#web, addresses, true)
    closeOthers(this.#probes, probes === undefined ? [] : [PROBES + probes], true)
  }

  #mapOf(name: string): Map<string, Bound> {
    return name.startsWith(PROBES) ? this.#probes : this.#web
  }
}

const PROBES = 'probes '

function closeOthers(held: Map<string, Bound>, names: readonly string[], shared: boolean): void {
  for (const [name, bound] of held) {
    if (names.includes(name)) continue
    bound.close({ shared })
    held.delete(name)
  }
}
