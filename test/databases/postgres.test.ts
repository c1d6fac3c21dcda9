/** What of an inbox is PostgreSQL's own: which failures are the handler's, and which the database's. */
import { randomUUID } from 'node:crypto'
import { Pool, type PoolClient } from 'pg'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { HandlerError, type Inbox, postgresInbox, Transient } from '../../src/index.ts'
import { hasPostgres, sharedPostgres } from '../support/shared-postgres.ts'
import { waitFor } from '../support/wait.ts'
import { postgres } from './databases.ts'

const never = new AbortController().signal
const key = { queue: 'orders', source: 'shop', id: '1' }

const handle = (inbox: Inbox<PoolClient>, work: (client: PoolClient) => Promise<unknown>) =>
  inbox.once(key, async (client) => void (await work(client)), never)

describe.runIf(hasPostgres())('an inbox in PostgreSQL', () => {
  let url: string
  beforeAll(async () => {
    url = await sharedPostgres()
  })

  /** Each with a schema that is new. */
  async function pools(...options: readonly string[]): Promise<Pool[]> {
    const schema = `own_${randomUUID().replaceAll('-', '')}`
    const all = ['', ...options].map((more) => new Pool({ connectionString: url, options: `-c search_path=${schema} ${more}` }))
    onTestFinished(async () => void (await Promise.all(all.map((pool) => pool.end()))))
    await all[0]!.query(
      `CREATE SCHEMA ${schema}; CREATE TABLE counts (name text PRIMARY KEY, value int); INSERT INTO counts VALUES ('a', 0), ('b', 0)`,
    )
    return all
  }

  const raise = (name: string) => (client: PoolClient) => client.query('UPDATE counts SET value = value + 1 WHERE name = $1', [name])

  it('is not fooled by a handler that swallows a failed statement, after which PostgreSQL keeps nothing', async () => {
    const { instance, effects, remembered } = await postgres.place()
    const { inbox, write } = instance()
    const swallowing = handle(inbox, async (client) => {
      await write(client, 'lost')
      await client.query('SELECT 1 / 0').catch(() => undefined)
    })
    await expect(swallowing).rejects.toThrow(HandlerError)
    expect([await effects(), await remembered()]).toEqual([[], 0])
  })

  it('calls a deadlock transient, and the one that was not chosen for it handled', async () => {
    const [pool] = await pools()
    const inbox = postgresInbox(pool!)
    const both = Promise.withResolvers<void>()
    let holding = 0
    const crossing = (id: string, [first, second]: readonly [string, string]) =>
      inbox.once(
        { ...key, id },
        async (client) => {
          await raise(first)(client)
          if (++holding === 2) both.resolve()
          await both.promise
          await raise(second)(client)
        },
        never,
      )
    const results = await Promise.allSettled([crossing('1', ['a', 'b']), crossing('2', ['b', 'a'])])
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
    const { reason } = results.find((result) => result.status === 'rejected')!
    expect(reason).toBeInstanceOf(Transient)
    expect(reason.message).toMatch(/^PostgreSQL: deadlock detected/)
  })

  it('calls what isolation does not allow transient', async () => {
    const [pool, serializable] = await pools('-c default_transaction_isolation=serializable')
    const failing = handle(postgresInbox(serializable!), async (client) => {
      await client.query('SELECT * FROM counts')
      await raise('a')(pool as unknown as PoolClient)
      await raise('a')(client)
    })
    await expect(failing).rejects.toThrow(Transient)
  })

  it('calls a constraint that fails at the commit the fault of the handler', async () => {
    const [pool] = await pools()
    await pool!.query('CREATE TABLE parts (of text REFERENCES counts DEFERRABLE INITIALLY DEFERRED)')
    const orphan = handle(postgresInbox(pool!), (client) => client.query(`INSERT INTO parts VALUES ('nobody')`))
    await expect(orphan).rejects.toMatchObject({ code: '23503' })
  })

  it('calls a connection that breaks transient, under the handler as well as before, and takes a new one', async () => {
    const [pool] = await pools()
    const inbox = postgresInbox(pool!)
    const killed = handle(inbox, async (client) => {
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
      await pool!.query('SELECT pg_terminate_backend($1)', [rows[0]!.pid])
      await raise('a')(client)
    })
    await expect(killed).rejects.toThrow(Transient)
    expect(await handle(inbox, raise('a'))).toBe('handled')
    const nowhere = new Pool({ connectionString: 'postgres://127.0.0.1:1/none' })
    onTestFinished(() => nowhere.end())
    await expect(handle(postgresInbox(nowhere), raise('a'))).rejects.toThrow(Transient)
  })

  it('leaves other errors of the handler as they are, also those that look like the network', async () => {
    const [pool] = await pools()
    const elsewhere = Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:443'), { code: 'ECONNREFUSED' })
    const failing = handle(postgresInbox(pool!), () => Promise.reject(elsewhere))
    await expect(failing).rejects.toBe(elsewhere)
  })

  it('gives up waiting for another copy when it is stopped, and gives its connection back', async () => {
    const [pool] = await pools()
    const inbox = postgresInbox(pool!)
    const gate = Promise.withResolvers<void>()
    const first = handle(inbox, () => gate.promise)
    await waitFor(() => pool!.totalCount === 1 && pool!.idleCount === 0, { what: 'the first' })
    const stop = new AbortController()
    const second = inbox.once(key, async () => undefined, stop.signal)
    await waitFor(
      async () => (await pool!.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%inbox%'`)).rowCount,
      { what: 'the second to wait' },
    )
    stop.abort(new Error('stopping'))
    await expect(second).rejects.toThrow('stopping')
    await expect(inbox.once(key, async () => undefined, stop.signal)).rejects.toThrow('stopping')
    gate.resolve()
    expect(await first).toBe('handled')
    await waitFor(() => pool!.idleCount === pool!.totalCount, { what: 'no client to be held' })
  })

  it('says what to create where it may not, and needs no right to once the table is there', async () => {
    const [owner] = await pools()
    const role = `role_${randomUUID().replaceAll('-', '')}`
    const { rows } = await owner!.query<{ schema: string }>('SELECT current_schema() AS schema')
    const schema = rows[0]!.schema
    await owner!.query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA ${schema} TO ${role}`)
    const least = new Pool({ connectionString: url, options: `-c search_path=${schema} -c role=${role}` })
    onTestFinished(() => least.end())
    const inbox = postgresInbox(least)
    const refused = await handle(inbox, async () => undefined).catch((error: unknown) => error as Transient)
    expect(refused).toBeInstanceOf(Transient)
    const [, statement = ''] = /permission denied for schema .*; create it beforehand: (.*)/s.exec(String(refused)) ?? []
    await owner!.query(statement)
    await owner!.query(`GRANT INSERT, SELECT, DELETE, UPDATE ON omnibus_inbox TO ${role}`)
    expect(await handle(inbox, async () => undefined)).toBe('handled')
  })

  it('refuses what is no pool', () => {
    expect(() => postgresInbox(url as never)).toThrow(/pool: expected a pool, such as pg's new Pool\(\)/)
  })
})
