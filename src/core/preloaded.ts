/** What the `preload` module of the config has made, for the entries of the unit that names it. */
import { WorkerError } from './errors.ts'
import { currentHost } from './host.ts'

/** Of a `preload` module's default export: what it is, or what the function returns. */
export type PreloadedOf<T> = T extends (...args: never[]) => infer R ? Awaited<R> : Awaited<T>

/**
 * What the module made that `web.preload` or `consumers.NAME.preload` names: `preloaded<typeof import('./tables.ts').default>()`.
 * With `kind: 'thread'` it was made once, and SharedArrayBuffers in it are the same memory in every thread; the rest is a copy. With
 * `kind: 'process'` each process has made its own. Throws `WorkerError` where nothing was preloaded, as in a script that runs alone.
 */
export function preloaded<T>(): PreloadedOf<T> {
  const found = currentHost()?.preloaded
  if (found === undefined) {
    throw new WorkerError('nothing was preloaded: this unit of the config has no `preload`, or the program does not run under omnibus')
  }
  return found.value as PreloadedOf<T>
}
