/** Recognises what a web entry exports, and makes it listen. */
import type { RequestListener } from 'node:http'
import { Server } from 'node:net'
import { WorkerError } from '../../core/errors.ts'
import { defaultExport, exportNames, type Exports } from '../entry.ts'
import { fetchListener, type FetchHandler } from './fetch.ts'

export interface App {
  /** Calls `listen` on its server in its own way; any port it names is ignored. Absent where a script already has. */
  listen?(): unknown
  /** The framework's own close (Fastify's `onClose` hooks, Nest's shutdown hooks), after the drain. */
  close?(): unknown
}

const EXPECTED =
  'a request handler (req, res), an object with fetch(request), a Fastify, Express, Koa, Hono or Nest app, an http.Server, ' +
  'a function without parameters that returns one of these, or a script that calls listen() itself'

// After the default export, in this order.
const NAMED = ['app', 'server', 'handler'] as const

export interface AppOptions {
  readonly entry: string
  /** True when a server of the entry has called `listen`. */
  readonly listening: () => boolean
  /** Hears what a fetch handler threw. */
  readonly onError: (error: unknown) => void
}

/**
 * The app a module exports. Undefined where it exports none, and so must be a script that is still about to listen.
 * Throws `WorkerError` for an export that cannot be served.
 */
export async function appOf(exports: Exports, options: AppOptions): Promise<App | undefined> {
  const exported = defaultExport(exports)
  const found = typeof exports['fetch'] === 'function' && exported === undefined ? { fetch: exports['fetch'] } : exported
  const value = found ?? NAMED.map((name) => exports[name]).find((named) => named !== undefined)
  // What CommonJS exports when it assigns nothing.
  if (value === undefined || (isObject(value) && Object.keys(value).length === 0 && isPlain(value))) return undefined
  const app = recognise(value, options)
  if (app) return app
  if (isFactory(value)) return fromFactory(value, options)
  if (options.listening()) return {}
  throw unusable(options.entry, `${exportNames(exports)}; what it would serve is ${kindOf(value)}`)
}

/** The error for an entry that neither exports an app nor listens. */
export function unusable(entry: string, exported: string): WorkerError {
  return new WorkerError(`web.entry ${entry} exports ${exported}. Expected ${EXPECTED}.`)
}

async function fromFactory(factory: () => unknown, options: AppOptions): Promise<App> {
  const made = await factory()
  const app = recognise(made, options)
  if (app) return app
  if (options.listening()) return {}
  throw unusable(options.entry, `a function that returned ${kindOf(made)}`)
}

function recognise(value: unknown, options: AppOptions): App | undefined {
  if (value instanceof Server) return { listen: () => value.listen(0) }
  const object: unknown = isObject(value) || typeof value === 'function' ? value : undefined
  if (object === undefined) return undefined
  const has = (...names: readonly string[]): boolean => names.every((name) => typeof Reflect.get(object as object, name) === 'function')
  const call = (name: string, ...args: readonly unknown[]): unknown => {
    const method: unknown = Reflect.get(object as object, name)
    return typeof method === 'function' ? Reflect.apply(method, object, args) : undefined
  }
  // Nest: `listen` also runs its init.
  if (has('getHttpAdapter', 'listen', 'close')) return { listen: () => call('listen', 0), close: () => call('close') }
  // Fastify: `listen` runs `ready` and its onListen hooks. It cannot be asked twice.
  if (has('ready', 'inject', 'listen', 'close')) {
    return { listen: () => listenFastify(call, options), close: () => call('close') }
  }
  // Koa
  if (has('callback', 'use', 'listen')) return serve(call('callback') as RequestListener)
  // Hono, and every handler of the Fetch API
  if (has('fetch')) return serve(fetchListener(((...args) => call('fetch', ...args)) satisfies FetchHandler, options.onError))
  // Express and Connect are functions of three parameters.
  if (typeof value === 'function' && value.length >= 2) return serve(value as RequestListener)
  return undefined
}

async function listenFastify(call: (name: string, ...args: readonly unknown[]) => unknown, options: AppOptions): Promise<void> {
  await call('ready')
  // An entry that calls `app.listen()` without awaiting it got to run before us: `ready` settles in order.
  await new Promise((resolve) => setImmediate(resolve))
  if (!options.listening()) await call('listen', { port: 0, host: '127.0.0.1' })
}

function serve(listener: RequestListener): App {
  // Not imported: as an ES module it brings the fetch API along, 13 MiB that an app in CommonJS does without.
  const { createServer } = process.getBuiltinModule('node:http')
  return { listen: () => createServer(listener).listen(0) }
}

function isFactory(value: unknown): value is () => unknown {
  return typeof value === 'function' && value.length === 0
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isPlain(value: object): boolean {
  return Object.getPrototypeOf(value) === Object.prototype
}

function kindOf(value: unknown): string {
  if (typeof value === 'function') return `a function with ${value.length} parameter${value.length === 1 ? '' : 's'}`
  if (Array.isArray(value)) return 'an array'
  if (!isObject(value)) return value === undefined || value === null ? String(value) : `a ${typeof value}`
  const keys = Object.keys(value).slice(0, 8)
  return keys.length === 0 ? 'an empty object' : `an object with ${keys.join(', ')}`
}
