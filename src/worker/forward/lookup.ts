import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { whyNot } from '../../config/target.ts'

/**
 * Resolves a host name, and lets nobody connect to an address that the operator has not allowed: what is checked is what is connected to,
 * so that a name cannot lead elsewhere in between.
 */
export function checkedLookup(url: URL, allowPrivate: boolean): LookupFunction {
  return (name, options, callback) => {
    lookup(name, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, [])
      for (const { address } of addresses) {
        const why = whyNot(address, url, allowPrivate)
        if (why !== undefined) return callback(new Error(`${name} leads to ${address}, which ${why}`), [])
      }
      const [first] = addresses
      if (options.all || first === undefined) return callback(null, addresses)
      callback(null, first.address, first.family)
    })
  }
}
