import { chmodSync, mkdirSync, statfsSync, statSync } from 'node:fs'
import { messageOf } from '../../core/errors.ts'
import { StoreRefusedError } from './refused.ts'

/** File systems of other machines (statfs(2)): their locks and their shared memory do not carry SQLite's WAL. */
const NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x5346414f, 'AFS'],
  [0x01021997, '9P'],
])

/** Creates the data folder with mode 0700 where there is none. Throws `StoreRefusedError`. */
export function prepareFolder(path: string, fileSystemOf: (path: string) => number = (folder) => statfsSync(folder).type): void {
  try {
    const created = mkdirSync(path, { recursive: true, mode: 0o700 })
    if (!statSync(path).isDirectory()) throw new StoreRefusedError(path, 'is not a folder')
    // Only a folder made here is ours to close: a given one may be shared on purpose, its files are 0600 in any case.
    if (created !== undefined) chmodSync(path, 0o700)
  } catch (error) {
    if (error instanceof StoreRefusedError) throw error
    throw new StoreRefusedError(path, `cannot be the data folder of the broker: ${messageOf(error)}`, { cause: error })
  }
  const network = NETWORK.get(fileSystemOf(path) >>> 0)
  if (network) throw new StoreRefusedError(path, `is on a network file system (${network}); the broker's data must be on a local disk`)
}
