/** URL scheme → transport, each loaded when first used, so that nobody pays for a broker they do not have. */
import { ConfigError } from '../core/errors.ts'
import { nearest } from '../core/options.ts'
import type { ResultStore } from '../core/results.ts'
import type { Transport } from '../core/transport.ts'
import { parseUrls } from '../core/urls.ts'

const loaders: Readonly<Record<string, () => Promise<Transport>>> = {
  'amqp:': async () => (await import('./amqp/index.ts')).amqpTransport,
  'amqps:': async () => (await import('./amqp/index.ts')).amqpTransport,
  'memory:': async () => (await import('./memory/index.ts')).memoryTransport,
  'redis:': async () => (await import('./redis/index.ts')).redisTransport,
  'rediss:': async () => (await import('./redis/index.ts')).redisTransport,
  'valkey:': async () => (await import('./redis/index.ts')).redisTransport,
  'valkeys:': async () => (await import('./redis/index.ts')).redisTransport,
  'sentinel:': async () => (await import('./redis/index.ts')).redisTransport,
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

const REDIS = ['redis:', 'rediss:', 'valkey:', 'valkeys:']

/** Throws `ConfigError` for a URL that is none of Redis. Loads and connects when it is first used. */
export function resultStoreAt(text: string): ResultStore {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !REDIS.includes(url.protocol)) {
    const expected = `a URL of Redis (${REDIS.join(', ')})`
    throw new ConfigError('createBus()', [{ path: 'results', expected, got: url ? `"${url.protocol}"` : 'another text' }])
  }
  const loaded = import('./redis/results.ts').then(({ redisResults }) => redisResults(url))
  loaded.catch(() => undefined)
  return {
    put: async (...args) => (await loaded).put(...args),
    watch(id, onText) {
      const watching = loaded.then((store) => store.watch(id, onText))
      return { begun: watching.then(({ begun }) => begun), stop: () => void watching.then((watch) => watch.stop()).catch(() => undefined) }
    },
    expectParts: async (...args) => (await loaded).expectParts(...args),
    addPart: async (...args) => (await loaded).addPart(...args),
    forgetParts: async (...args) => (await loaded).forgetParts(...args),
    close: async () => (await loaded.catch(() => undefined))?.close(),
  }
}

/** Rejects with what a URL would fail with wherever it is used: `ConfigError`, `MissingPeerError`. Connects to nothing. */
export async function checkUrls(given: readonly string[]): Promise<void> {
  if (given.length === 0) return
  const urls = parseUrls(given)
  checkSchemes(urls)
  for (const url of urls) (await transportFor(url)).check?.(url)
}

export async function transportFor(url: URL): Promise<Transport> {
  checkSchemes([url])
  return loaders[url.protocol]!()
}
