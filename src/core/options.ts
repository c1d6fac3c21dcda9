/**
 * Reading options that people write: one table of fields per object, every problem reported at once, unknown keys
 * refused with a suggestion, the result frozen. Used for entities, connections and the whole config file.
 */
import { ConfigError, type Problem } from './errors.ts'

/** What one option may hold. `read` pushes to `problems` instead of throwing, so that all are seen at once. */
export interface Field<T> {
  read(value: unknown, path: string, problems: Problem[]): T | undefined
  /** Used when the option is absent. */
  readonly fallback?: T
}

export type Fields<T> = { readonly [K in keyof T]-?: Field<Exclude<T[K], undefined>> }

/**
 * Reads `input` by the table. Throws `ConfigError` naming `subject` with every problem found.
 * An option that is absent, or `undefined`, takes its field's fallback or stays absent.
 */
export function readOptions<T extends object>(subject: string, fields: Fields<T>, input: unknown, path = ''): T {
  const problems: Problem[] = []
  const result = object(fields).read(input ?? {}, path, problems)
  if (problems.length > 0 || result === undefined) throw new ConfigError(subject, problems)
  return result
}

export function object<T extends object>(fields: Fields<T>, fallback?: T): Field<T> {
  return withFallback(fallback, (value, path, problems) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return refuse(problems, path, 'an object', value)
    }
    const known = Object.keys(fields)
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue
      const near = nearest(key, known)
      problems.push({
        path: join(path, key),
        expected: near ? `a known option; did you mean "${near}"?` : `one of ${known.join(', ')}`,
        got: 'an unknown option',
      })
    }
    const result: Record<string, unknown> = {}
    for (const key of known) {
      const field: Field<unknown> = fields[key as keyof T]
      const given: unknown = Reflect.get(value, key)
      const read = given === undefined ? field.fallback : field.read(given, join(path, key), problems)
      if (read !== undefined) result[key] = read
    }
    return Object.freeze(result) as T
  })
}

export function record<T>(of: Field<T>, fallback?: Readonly<Record<string, T>>): Field<Readonly<Record<string, T>>> {
  return withFallback(fallback, (value, path, problems) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(problems, path, 'an object', value)
    const result: Record<string, T> = {}
    for (const [key, item] of Object.entries(value)) {
      const read = of.read(item, join(path, key), problems)
      if (read !== undefined) result[key] = read
    }
    return Object.freeze(result)
  })
}

export function list<T>(of: Field<T>, fallback?: readonly T[]): Field<readonly T[]> {
  return withFallback(fallback, (value, path, problems) => {
    if (!Array.isArray(value)) return refuse(problems, path, 'a list', value)
    return Object.freeze(value.map((item, i) => of.read(item, `${path}[${i}]`, problems)).filter((item) => item !== undefined))
  })
}

export function text(options: { fallback?: string; expected?: string; test?: (value: string) => boolean } = {}): Field<string> {
  const { fallback, expected = 'a text', test = () => true } = options
  return withFallback(fallback, (value, path, problems) =>
    typeof value === 'string' && test(value) ? value : refuse(problems, path, expected, value),
  )
}

export function whole(options: { fallback?: number; min?: number; max?: number } = {}): Field<number> {
  const { fallback, min = 0, max = Number.MAX_SAFE_INTEGER } = options
  const expected = max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`
  return withFallback(fallback, (value, path, problems) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
      ? value
      : refuse(problems, path, expected, value),
  )
}

/** Any finite number, unlike `whole`. */
export function decimal(options: { fallback?: number; min?: number; max?: number } = {}): Field<number> {
  const { fallback, min = 0, max = Number.MAX_VALUE } = options
  const expected = `a number from ${min}${max === Number.MAX_VALUE ? '' : ` to ${max}`}`
  return withFallback(fallback, (value, path, problems) =>
    typeof value === 'number' && value >= min && value <= max ? value : refuse(problems, path, expected, value),
  )
}

export function flag(fallback?: boolean): Field<boolean> {
  return withFallback(fallback, (value, path, problems) =>
    typeof value === 'boolean' ? value : refuse(problems, path, 'true or false', value),
  )
}

export function oneOf<const T extends string>(values: readonly T[], fallback?: T): Field<T> {
  return withFallback(fallback, (value, path, problems) => {
    if (values.includes(value as T)) return value as T
    const near = typeof value === 'string' ? nearest(value, values) : undefined
    return refuse(problems, path, `one of ${values.join(', ')}${near ? ` (did you mean "${near}"?)` : ''}`, value)
  })
}

// oxlint-disable-next-line typescript/no-explicit-any -- any function a user writes is fine here
export function callable<T extends (...args: any[]) => unknown>(fallback?: T): Field<T> {
  return withFallback(fallback, (value, path, problems) =>
    typeof value === 'function' ? (value as T) : refuse(problems, path, 'a function', value),
  )
}

/** A value some other code understands; only its kind is checked. */
export function instance<T>(expected: string, test: (value: unknown) => value is T, fallback?: T): Field<T> {
  return withFallback(fallback, (value, path, problems) => (test(value) ? value : refuse(problems, path, expected, value)))
}

/** The known word closest to a mistyped one, if any is close enough to be meant. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

/** A value as a short piece of an error message. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'function') return 'a function'
  // As JSON they would be many times as long before they are cut.
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`
  let shown: string
  try {
    shown = JSON.stringify(value) ?? String(value)
  } catch {
    // It holds itself, or more levels than the stack does: any other way to write it may fail, too.
    shown = typeof value === 'bigint' ? String(value) : Object.prototype.toString.call(value)
  }
  return shown.length > 80 ? `${shown.slice(0, 77)}...` : shown
}

function refuse(problems: Problem[], path: string, expected: string, value: unknown): undefined {
  problems.push({ path, expected, got: show(value) })
  return undefined
}

function withFallback<T>(fallback: T | undefined, read: Field<T>['read']): Field<T> {
  return fallback === undefined ? { read } : { read, fallback }
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next[j] = Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1)
    }
    row = next
  }
  return row[b.length] ?? 0
}
