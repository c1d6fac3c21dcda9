/** The PEM files that a broker's URL names. */
import { readFile } from 'node:fs/promises'
import { ConnectionError, messageOf } from '../../core/errors.ts'
import type { TlsFiles } from '../../core/url-options.ts'

/** Read at each connect: missing ones may appear later, so that trying again can help. Rejects with `ConnectionError`. */
export async function readTlsFiles(files: TlsFiles): Promise<Partial<Record<keyof TlsFiles, Buffer>>> {
  const read = async ([key, path]: [string, string]): Promise<[string, Buffer]> => {
    try {
      return [key, await readFile(path)]
    } catch (cause) {
      throw new ConnectionError(`The TLS file ${path} named in the URL cannot be read: ${messageOf(cause)}`, { cause })
    }
  }
  return Object.fromEntries(await Promise.all(Object.entries(files).map(read)))
}
