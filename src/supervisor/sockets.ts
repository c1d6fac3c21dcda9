/** The listening sockets of the web part, by the address the config names. */
import { type Bound, bindSocket } from './listen.ts'

export class Sockets {
  readonly #held = new Map<string, Bound>()

  /** Binds what is not held yet: all of it, or nothing where one rejects. */
  async open(addresses: readonly string[], backlog: number): Promise<void> {
    const missing = addresses.filter((address) => !this.#held.has(address))
    const results = await Promise.allSettled(missing.map((address) => bindSocket(address, { key: 'web.bind', backlog })))
    const failure = results.find((result) => result.status === 'rejected')
    for (const [index, result] of results.entries()) {
      if (result.status === 'rejected') continue
      if (failure) result.value.close()
      else this.#held.set(missing[index] ?? '', result.value)
    }
    if (failure) throw failure.reason
  }

  /** Closes the others. The workers that accept from them have descriptors of their own. */
  keep(addresses: readonly string[], shared = false): void {
    for (const [address, bound] of this.#held) {
      if (addresses.includes(address)) continue
      bound.close({ shared })
      this.#held.delete(address)
    }
  }

  /** In the order of `addresses`. */
  of(addresses: readonly string[]): readonly Bound[] {
    return addresses.flatMap((address) => this.#held.get(address) ?? [])
  }
}
