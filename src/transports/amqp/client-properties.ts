import { readFileSync } from 'node:fs'
import type { Headers } from '../../core/message.ts'

/** What brokers show of a connection. */
export function clientProperties(connectionName: string): Headers {
  return {
    product: 'omnibus',
    version: packageVersion(),
    platform: `Node.js ${process.version}`,
    connection_name: connectionName,
  }
}

/** Undefined, and so left out, where a bundler has moved this module away from its package. */
function packageVersion(): string | undefined {
  try {
    const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
    const manifest: { name?: unknown; version?: unknown } = JSON.parse(text)
    return manifest.name === 'omnibus' && typeof manifest.version === 'string' ? manifest.version : undefined
  } catch {
    return undefined
  }
}
