/** What every inbox keeps, on each of the databases. */
import { describe, expect, it } from 'vitest'
import type { InboxKey } from '../../src/index.ts'
import { waitFor } from '../support/wait.ts'
import { type Database, postgres, sqlite } from './databases.ts'

const never = new AbortController().signal
const keyOf = (id: string, other: Partial<InboxKey> = {}): InboxKey => ({ queue: 'orders', source: 'shop', id, ...other })

contract(sqlite)
contract(postgres)

function contract<Transaction>({ name, available, place }: Database<Transaction>): void {
  describe.runIf(available)(`an inbox in ${name}`, () => {
    it('handles a message once, and whatever differs in queue, source or id apart from it', async () => {
      const { instance, effects, remembered } = await place()
      const { inbox, write } = instance()
      const handle = (key: InboxKey) => inbox.once(key, (transaction) => write(transaction, Object.values(key).join('/')), never)
      const keys = [keyOf('1'), keyOf('2'), keyOf('1', { source: '' }), keyOf('1', { queue: 'mail' })]
      for (const key of keys) expect(await handle(key)).toBe('handled')
      for (const key of keys) expect(await handle(key)).toBe('duplicate')
      expect(await effects()).toEqual(['mail/shop/1', 'orders//1', 'orders/shop/1', 'orders/shop/2'])
      expect(await remembered()).toBe(4)
    })

    it('rolls back what a handler wrote that fails, and handles its message the next time', async () => {
      const { instance, effects, remembered } = await place()
      const { inbox, write } = instance()
      const failing = inbox.once(
        keyOf('1'),
        async (transaction) => {
          await write(transaction, 'half')
          throw new Error('no luck')
        },
        never,
      )
      await expect(failing).rejects.toThrow(/^no luck$/)
      expect([await effects(), await remembered()]).toEqual([[], 0])
      expect(await inbox.once(keyOf('1'), (transaction) => write(transaction, 'whole'), never)).toBe('handled')
      expect(await effects()).toEqual(['whole'])
    })

    it.each([true, false])('lets a second copy wait for the first in another process, which succeeds: %s', async (succeeds) => {
      const { instance, effects } = await place()
      const [one, other] = [instance(), instance()]
      const gate = Promise.withResolvers<void>()
      let begun = false
      const first = one.inbox.once(
        keyOf('1'),
        async (transaction) => {
          begun = true
          await one.write(transaction, 'first')
          await gate.promise
        },
        never,
      )
      await waitFor(() => begun, { what: 'the first handler' })
      let ended = false
      const second = other.inbox.once(keyOf('1'), (transaction) => other.write(transaction, 'second'), never).finally(() => (ended = true))
      // It has what it waits for to itself for a good while.
      for (let turn = 0; turn < 20; turn++) await effects()
      expect(ended).toBe(false)
      if (succeeds) gate.resolve()
      else gate.reject(new Error('no luck'))
      if (succeeds) expect(await first).toBe('handled')
      else await expect(first).rejects.toThrow('no luck')
      expect(await second).toBe(succeeds ? 'duplicate' : 'handled')
      expect(await effects()).toEqual([succeeds ? 'first' : 'second'])
    })

    it('is right when three processes that find no table yet get five copies of each of twenty messages at once', async () => {
      const { instance, effects, remembered } = await place()
      const instances = [instance(), instance(), instance()]
      const ids = Array.from({ length: 20 }, (_, n) => `${n + 10}`)
      const copies = ids.flatMap((id) => Array.from({ length: 5 }, (_, copy) => ({ id, ...instances[copy % 3]! })))
      const outcomes = await Promise.all(
        copies.map(({ id, inbox, write }) => inbox.once(keyOf(id), (transaction) => write(transaction, id), never)),
      )
      expect(outcomes.filter((outcome) => outcome === 'handled')).toHaveLength(20)
      expect(await effects()).toEqual(ids)
      expect(await remembered()).toBe(20)
    })

    it('keeps nothing of a handler that writes on after its time is over, and harms no other by it', async () => {
      const { instance, effects } = await place()
      const { inbox, write } = instance()
      const timeout = new AbortController()
      const goOn = Promise.withResolvers<void>()
      const late: Promise<unknown>[] = []
      const cut = inbox.once(
        keyOf('1'),
        async (transaction) => {
          await write(transaction, 'early')
          late.push(goOn.promise.then(() => write(transaction, 'late')))
          timeout.abort(new Error('over'))
          throw timeout.signal.reason
        },
        timeout.signal,
      )
      await expect(cut).rejects.toThrow('over')
      const next = inbox.once(
        keyOf('2'),
        async (transaction) => {
          goOn.resolve()
          await Promise.allSettled(late)
          await write(transaction, 'next')
        },
        never,
      )
      expect(await next).toBe('handled')
      await expect(late[0]).rejects.toThrow()
      expect(await effects()).toEqual(['next'])
    })

    it('forgets what is older than its window, some at a time', async () => {
      const { instance, effects, remembered } = await place()
      const lasting = instance()
      for (let n = 0; n < 150; n++) await lasting.inbox.once(keyOf(`old ${n}`), async () => undefined, never)
      expect(await remembered()).toBe(150)
      const youngest = Date.now()
      await waitFor(() => Date.now() > youngest + 10, { what: 'the youngest to be older than the window' })
      const { inbox, write } = instance({ windowMs: 1 })
      await inbox.once(keyOf('sweeps'), async () => undefined, never)
      expect(await remembered()).toBeLessThanOrEqual(1)
      expect(await inbox.once(keyOf('old 1'), (transaction) => write(transaction, 'again'), never)).toBe('handled')
      expect(await effects()).toEqual(['again'])
    })

    it('refuses options that cannot work', async () => {
      const { instance } = await place()
      expect(() => instance({ table: 'inbox; DROP TABLE effects' })).toThrow(/table: expected a table's name/)
      expect(() => instance({ windowMs: 0 })).toThrow(/windowMs: expected a whole number from 1/)
      expect(() => instance({ window: 1 } as never)).toThrow(/did you mean "windowMs"/)
    })
  })
}
