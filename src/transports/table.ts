/** URL scheme → transport, each loaded when first used, so that nobody pays for a broker they do not have. */
import { ConfigError } from '../core/errors.ts'
import { nearest } from '../core/options.ts'
import type { Transport } from '../core/transport.ts'

const loaders: Readonly<Record<string, () => Promise<Transport>>> = {
  'amqp:': async () => (await import('./amqp/index.ts')).amqpTransport,
  'amqps:': async () => (await import('./amqp/index.ts')).amqpTransport,
  'memory:': async () => (await import('./memory/index.ts')).memoryTransport,
  'redis:': async () => (await import('./redis/index.ts')).redisTransport,
  'rediss:': async () => (await import('./redis/index.ts')).redisTransport,
  'valkey:': async () => (await import('./redis/index.ts')).redisTransport,
  'valkeys:': async () => (await import('./redis/index.ts')).redisTransport,
  'sqs:': async () => (await import('./sqs/index.ts')).sqsTransport,
  'omnibus:': async () => (await import('./amqp/builtin.ts')).builtinTransport,
}

/** Throws `ConfigError` for a scheme nobody serves, before anything is loaded. */
export function checkSchemes(urls: readonly URL[]): void {
  for (const { protocol } of urls) {
    if (Object.hasOwn(loaders, protocol)) continue
    const known = Object.keys(loaders)
    const near = nearest(protocol, known)
    throw new ConfigError('The bus URL', [
      { path: 'scheme', expected: `one of ${known.join(', ')}${near ? ` (did you mean "${near}"?)` : ''}`, got: `"${protocol}"` },
    ])
  }
}

export async function transportFor(url: URL): Promise<Transport> {
  checkSchemes([url])
  return loaders[url.protocol]!()
}
