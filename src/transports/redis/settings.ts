/** How npm's client is set up. */
import { readFile } from 'node:fs/promises'
import type { RedisClientOptions } from 'redis'
import { ConnectionError, messageOf } from '../../core/errors.ts'
import type { Address } from './address.ts'

interface ClientOptions {
  readonly address: Address
  /** Shown by `CLIENT LIST`. */
  readonly name: string
  readonly connectTimeoutMs: number
}

/** Its own reconnecting, queueing and retrying is off: `Connection` recovers. */
export async function settingsOf({ address, name, connectTimeoutMs }: ClientOptions): Promise<RedisClientOptions> {
  const { host, port, tls, database, username, password } = address
  const common = { host, port, connectTimeout: connectTimeoutMs, reconnectStrategy: false } as const
  return {
    socket: tls ? { ...common, tls: true, ...(await readFiles(address.files)) } : common,
    database,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    // Redis takes no spaces in it.
    name: name.replaceAll(/[^!-~]+/g, '-'),
    RESP: 3,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // A timer per command would cost more than the command.
    commandOptions: { timeout: 0 },
  }
}

/** PEM files named in the URL; missing ones may appear later, so that trying again can help. */
async function readFiles(files: Address['files']): Promise<Record<string, Buffer>> {
  const read = async ([key, path]: [string, string]): Promise<[string, Buffer]> => {
    try {
      return [key, await readFile(path)]
    } catch (cause) {
      throw new ConnectionError(`The TLS file ${path} named in the URL cannot be read: ${messageOf(cause)}`, { cause })
    }
  }
  return Object.fromEntries(await Promise.all(Object.entries(files).map(read)))
}
