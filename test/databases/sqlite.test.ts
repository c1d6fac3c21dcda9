/** What of an inbox is SQLite's own: one writer, and calls that hold up the event loop. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { sqliteInbox, Transient } from '../../src/index.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

const never = new AbortController().signal
const keyOf = (id: string) => ({ queue: 'orders', source: 'shop', id })
const nothing = async (): Promise<void> => undefined

it('waits for another writer without holding up the event loop', async () => {
  const file = join(tempDir('inbox'), 'busy.db')
  const inbox = sqliteInbox(file)
  await inbox.once(keyOf('1'), nothing, never)
  const other = new DatabaseSync(file)
  other.exec('BEGIN IMMEDIATE')
  let ended = false
  const waiting = inbox.once(keyOf('2'), nothing, never).finally(() => (ended = true))
  let turns = 0
  await waitFor(() => ++turns > 10, { what: 'the event loop to turn' })
  expect(ended).toBe(false)
  const stop = new AbortController()
  const impatient = sqliteInbox(file).once(keyOf('3'), nothing, stop.signal)
  stop.abort(new Error('stopping'))
  await expect(impatient).rejects.toThrow('stopping')
  other.exec('COMMIT')
  expect(await waiting).toBe('handled')
})

it('opens as it is told to, anew when a handler has closed it', async () => {
  const file = join(tempDir('inbox'), 'own.db')
  let opened = 0
  const inbox = sqliteInbox(() => {
    opened++
    return new DatabaseSync(file)
  })
  await inbox.once(keyOf('1'), nothing, never)
  const closing = inbox.once(keyOf('2'), async (database) => database.close(), never)
  await expect(closing).rejects.toThrow('database is not open')
  expect(await inbox.once(keyOf('2'), nothing, never)).toBe('handled')
  expect(await inbox.once(keyOf('1'), nothing, never)).toBe('duplicate')
  expect(opened).toBe(2)
})

it('fails a handler after which no transaction is left to commit', async () => {
  const inbox = sqliteInbox(':memory:')
  const ending = inbox.once(keyOf('1'), async (database) => database.exec('ROLLBACK'), never)
  await expect(ending).rejects.toThrow('no transaction is active')
  expect(await inbox.once(keyOf('1'), nothing, never)).toBe('handled')
})

it('calls a file that cannot be opened transient, and a full one', async () => {
  const missing = sqliteInbox(join(tempDir('inbox'), 'no', 'such', 'folder.db'))
  await expect(missing.once(keyOf('1'), nothing, never)).rejects.toThrow(Transient)
  const full = sqliteInbox(':memory:')
  await full.once(keyOf('1'), async (database) => database.exec('CREATE TABLE large (bytes BLOB); PRAGMA max_page_count = 20'), never)
  const filling = full.once(keyOf('2'), async (database) => database.exec('INSERT INTO large VALUES (zeroblob(1000000))'), never)
  await expect(filling).rejects.toThrow(Transient)
})

it('refuses what is no database', () => {
  expect(() => sqliteInbox('')).toThrow(/database: expected a path, or a function that opens one, got ""/)
  expect(() => sqliteInbox(new DatabaseSync(':memory:') as never)).toThrow(/database: expected a path, or a function that opens one/)
})
