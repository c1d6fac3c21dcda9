/** F28 and F29: data nested without end, and data that is not what was agreed, on its way in and out of a worker as users run it. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { CodecError, connect, type Connection, createBus, ValidationError } from '../../../src/index.ts'
import { omnibus, userFolder } from '../../support/omnibus.ts'
import type { Running } from '../../support/process.ts'
import { waitFor } from '../../support/wait.ts'
import { Order, Thrown, work } from '../fixtures/refusing/contracts.ts'
import { foreignTo, nestedJson } from '../foreign.ts'
import type { Reachable } from '../victim.ts'
import type { Row, Scale } from '../world.ts'

const DEEP = 20_000
const dead = `${work.name}.dlq`

interface Letter {
  readonly body: string
  readonly reason: string
  readonly attempts: number
}

interface Kind {
  readonly what: string
  readonly put: (id: string) => Promise<unknown>
  readonly reason: RegExp
  readonly attempts?: number
  /** What the dead letter must hold still. @default anything */
  readonly body?: string
}

interface Refusing {
  readonly connection: Connection
  readonly worker: Running
  /** As it is, past all that the bus would check. */
  readonly raw: (type: string, body: string | Uint8Array, properties?: Record<string, unknown>) => (id: string) => Promise<unknown>
}

/** `omnibus work` on the queue of the fixture, while `scenario` runs; and nothing of it afterwards. */
async function withWorker<T>(victim: Reachable, scenario: (given: Refusing) => Promise<T>): Promise<T> {
  const folder = userFolder('refusing')
  cpSync(join(import.meta.dirname, '..', 'fixtures', 'refusing'), folder, { recursive: true })
  await using worker = omnibus(['work'], { cwd: folder, env: { BUS_URL: victim.url, OMNIBUS_LOG: 'json' } })
  await using connection = connect(victim.url, { deadlineMs: 60_000 })
  const raw: Refusing['raw'] =
    (type, body, properties = {}) =>
    (messageId) =>
      connection.publish('', work.name, body, { contentType: 'application/json', ...properties, type, messageId })
  try {
    await waitFor(() => raw(Order.type, '{"id":"first"}')('first').then(Boolean), { what: 'its queue' })
    await worker.line('handled first')
    return await scenario({ connection, worker, raw })
  } finally {
    worker.signal('SIGTERM')
    expect(await worker.exit()).toEqual({ code: 0, signal: null })
    for (const name of [work.name, dead]) await connection.delete(name)
  }
}

/** Each of them `times`; resolves when each is a dead letter with its reason, the next good one is handled, and the process is the first one still. */
async function allDie({ connection, worker, raw }: Refusing, kinds: readonly Kind[], times: number): Promise<readonly string[]> {
  const all = Array.from({ length: times }, () => kinds).flat()
  for (let from = 0; from < all.length; from += 100) await Promise.all(all.slice(from, from + 100).map(({ put }, n) => put(`m${from + n}`)))
  await waitFor(async () => (await connection.inspect(dead)).messages === all.length, {
    what: `${all.length} dead letters`,
    deadlineMs: 100_000,
    everyMs: 100,
  })
  await raw(Order.type, '{"id":"good"}')('good')
  await worker.line('handled good')
  const letters: Letter[] = []
  for (let letter = await connection.get(dead); letter; letter = await connection.get(dead)) {
    const { 'omnibus-dead-reason': reason, 'omnibus-dead-attempts': attempts } = letter.properties.headers ?? {}
    letters.push({ body: Buffer.from(letter.body).toString(), reason: String(reason), attempts: Number(attempts) })
    await letter.ack()
  }
  for (const { what, reason, attempts = 1, body } of kinds) {
    const found = letters.filter((one) => reason.test(one.reason) && one.attempts === attempts && (body === undefined || body === one.body))
    expect(found.length, `${what}; there are ${[...new Set(letters.map((one) => `${one.reason} (${one.attempts})`))].join(', ')}`).toBe(
      times,
    )
  }
  const told = worker.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as { msg: string })
  expect(Math.max(...worker.lines.map(({ length }) => length))).toBeLessThan(20_000)
  const deaths = told.filter(({ msg }) => msg.includes('was dead-lettered:')).map(({ msg }) => msg)
  expect(deaths).toHaveLength(all.length)
  for (const { what, reason } of kinds) expect(deaths.filter((msg) => reason.test(msg)).length, what).toBeGreaterThanOrEqual(times)
  expect(told.filter(({ msg }) => /exited|restart|kept/.test(msg))).toEqual([])
  return deaths
}

/** A list in a list in a list: read, kept, told of and refused, by whoever would have to write it again. */
export async function deepJson(victim: Reachable, scale: Scale): Promise<Row> {
  const times = scale === 'long' ? 200 : 2
  return withWorker(victim, async (given) => {
    const { connection, raw, worker } = given
    await using foreign = await foreignTo(victim.url)
    const putHeaders = (): Promise<void> => foreign.putDeep(work.name, Order.type, DEEP)
    const unreadable = /(envelope|field table) is (no JSON, or )?nested deeper than/
    const tooDeep = /JSON body is nested deeper than 64 levels/
    const lists = `{"id":"x","lines":${nestedJson(DEEP)}}`
    const objects = `${'{"id":'.repeat(DEEP)}1${'}'.repeat(DEEP)}`
    const open = '['.repeat(DEEP)
    /** Where they are no dead letters. */
    const fateOfHeaders = async (): Promise<string> => {
      if (victim.readsHeaders) {
        await expect(putHeaders()).rejects.toThrow('nested deeper than 32 levels')
        return '; the broker refuses such headers by itself'
      }
      if (!foreign.takeUnreadable) return ''
      const kept = await foreign.takeUnreadable(work.name)
      expect(kept.filter((text) => text.includes(nestedJson(DEEP)))).toHaveLength(times)
      expect(worker.lines.filter((line) => line.includes(`_omnibus.dead.${work.name}`) && unreadable.test(line))).toHaveLength(times)
      return `; ${times} with such headers apart, byte for byte, and told of`
    }
    const kinds: readonly Kind[] = [
      ...(victim.readsHeaders || foreign.takeUnreadable ? [] : [{ what: 'headers', put: putHeaders, reason: unreadable }]),
      { what: 'lists', put: raw(Order.type, Buffer.from(lists)), reason: tooDeep, body: lists },
      { what: 'objects', put: raw(Order.type, Buffer.from(objects)), reason: tooDeep, body: objects },
      { what: 'lists that never end', put: raw(Order.type, Buffer.from(open)), reason: tooDeep, body: open },
      {
        what: 'a header that is used',
        put: raw(Order.type, Buffer.from('{"id":"x"}'), { headers: { compression: JSON.parse(nestedJson(30)) } }),
        reason: /Compression \[\[.* is not supported/,
      },
      {
        what: 'what a handler throws',
        put: raw(Thrown.type, nestedJson(DEEP), { contentType: 'text/plain' }),
        reason: /a value that is no error/,
        attempts: 2,
        body: nestedJson(DEEP),
      },
    ]
    if (foreign.takeUnreadable) for (let n = 0; n < times; n++) await putHeaders()
    await allDie(given, kinds, times)
    const headers = await fateOfHeaders()

    const value: unknown = JSON.parse(nestedJson(DEEP))
    await using bus = createBus({ url: victim.url, onEvent: () => undefined })
    await expect(bus.publish(Thrown, value as string)).rejects.toThrow(CodecError)
    await expect(connection.publish('', work.name, value)).rejects.toThrow(CodecError)
    const withHeaders = bus.publish(Thrown, 'x', { headers: { deep: value as string[] } })
    await expect(withHeaders).rejects.toMatchObject({ reason: 'refused', message: expect.stringContaining('nested deeper than 32 levels') })
    return {
      did: `${times} times ${DEEP} levels each: ${kinds.map(({ what }) => what).join(', ')}; then published`,
      seen: `${times * kinds.length} dead letters, each with its reason and its bytes, and a log line; each publish rejected; the worker was the same process to the end${headers}`,
    }
  })
}

/** Data that does not fit its event's schema. */
export async function otherSchema(victim: Reachable, scale: Scale): Promise<Row> {
  const times = scale === 'long' ? 200 : 2
  const wrong: readonly (readonly [path: string, data: unknown])[] = [
    ['id', { id: 7 }],
    ['id', {}],
    ['lines.0.count', { id: 'x', lines: [{ article: 'a', count: 0 }] }],
    ['lines.1.article', { id: 'x', lines: [{ article: 'a', count: 1 }, { count: 1 }] }],
    ['lines', { id: 'x', lines: 'none' }],
    ['(whole)', null],
  ]
  return withWorker(victim, async (given) => {
    // Nobody listens there: what it says, it says without asking anybody.
    const bus = createBus({ url: 'amqp://127.0.0.1:1', onEvent: () => undefined })
    for (const [path, data] of wrong) {
      const publishing = bus.publish(Order, data as { id: string }, { deadlineMs: 60_000 })
      await expect(publishing).rejects.toThrow(ValidationError)
      await expect(publishing).rejects.toThrow(`${Order.type} does not fit its schema: ${path}:`)
    }
    await bus.close({ deadlineMs: 0 })
    const kinds = wrong.map(([path, data]): Kind => {
      const body = JSON.stringify(data)
      const reason = new RegExp(`does not fit its schema: ${path.replaceAll(/\W/g, '\\$&')}:`)
      return { what: body, put: given.raw(Order.type, Buffer.from(body)), reason, body }
    })
    const deaths = await allDie(given, kinds, times)
    return {
      did: `${wrong.length} kinds published, where no broker is; ${deaths.length} consumed, by a policy that allows 2 attempts`,
      seen: `each publish rejected with the path, without a broker; ${deaths.length} dead letters at attempt 1, with the path`,
    }
  })
}
