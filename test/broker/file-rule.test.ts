/**
 * Closing any descriptor of a file drops every POSIX lock the process holds on it, so nothing in the broker's process may
 * open the database but SQLite. These are the files that open any at all, and what they open instead.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOM = join(import.meta.dirname, '../../src/broker')
const OPENING = /\b(?:open|read|write|append|copy|truncate|cp|link)(?:File|Dir)?(?:Sync)?\b|create(?:Read|Write)Stream/

/** By file: what of node:fs that opens files it may import. */
const ALLOWED: Record<string, readonly string[]> = {
  // broker.json alone.
  'announcement.ts': ['readFileSync', 'writeFileSync'],
  // Certificate and key.
  'index.ts': ['readFileSync'],
  // A lock file that does not exist yet.
  'lock.ts': ['openSync'],
  'password.ts': ['readFileSync', 'writeFileSync'],
  // Bodies in files of their own, and their folder.
  'store/bodies.ts': ['openSync', 'readSync', 'writeSync'],
  // A store that does not exist yet, and the log of another, before SQLite opens them.
  'store/database.ts': ['openSync', 'readFileSync'],
  // A store that is not open, and never is in this process.
  'store/salvage.ts': ['openSync', 'readFileSync', 'readSync', 'writeFileSync'],
  // users.json alone.
  'users.ts': ['readFileSync', 'writeFileSync'],
}

test('nothing but SQLite opens the store', () => {
  const files = readdirSync(ROOM, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  expect(files.length).toBeGreaterThan(20)
  const found: Record<string, string[]> = {}
  for (const path of files) {
    const source = readFileSync(join(ROOM, path), 'utf8')
    for (const [, names = ''] of source.matchAll(/import\s+([^;]*?)\s+from 'node:fs(?:\/promises)?'/g)) {
      const opening = names.match(/\w+/g)?.filter((name) => OPENING.test(name)) ?? []
      if (opening.length > 0) found[path] = opening
    }
  }
  expect(found).toEqual(ALLOWED)
})
