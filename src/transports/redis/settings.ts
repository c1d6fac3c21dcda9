/** How npm's client is set up. */
import type { RedisClientOptions } from 'redis'
import { readTlsFiles } from '../kit/tls-files.ts'
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
    socket: tls ? { ...common, tls: true, ...(await readTlsFiles(address.files)) } : common,
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
