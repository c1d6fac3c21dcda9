/** What differs between two configs, for the log of a reload. */
import { isDeepStrictEqual } from 'node:util'
import { show } from '../core/options.ts'
import { redactText } from '../core/redact.ts'

/** Beyond these a list says no more than that everything is new. */
const MOST = 20

/** `web.workers 2 → 4`, one a key, with no secret in it. */
export function changesBetween(old: object, fresh: object): string[] {
  const found: string[] = []
  compare(old, fresh, '', found)
  return found.length > MOST ? [...found.slice(0, MOST), `and ${found.length - MOST} more`] : found
}

function compare(before: object, after: object, path: string, found: string[]): void {
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const at = path === '' ? key : `${path}.${key}`
    const [was, is]: unknown[] = [Reflect.get(before, key), Reflect.get(after, key)]
    if (isDeepStrictEqual(was, is)) continue
    if (isRecord(was) && isRecord(is)) compare(was, is, at, found)
    else if (was === undefined) found.push(`${at} is new`)
    else if (is === undefined) found.push(`${at} is gone`)
    // What is in an environment may be anybody's secret, too.
    else if (/(^|\.)env$/.test(path) || /^(token|secret)$/.test(key)) found.push(`${at} has changed`)
    else found.push(redactText(`${at} ${show(was)} → ${show(is)}`))
  }
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
