import { describe, expect, it } from 'vitest'
import type { ConnectionEvent } from '../../src/core/connection-options.ts'
import { clearTextHost } from '../../src/core/credentials.ts'
import { queue } from '../../src/core/entities.ts'
import { ConnectionError } from '../../src/core/errors.ts'
import { settle } from './fake-clock.ts'
import { setUp } from './scripted-connection.ts'
import type { ScriptedTransport } from './scripted-transport.ts'

const usersOf = ({ sessions }: ScriptedTransport): string[] => sessions.map(({ options: { url } }) => `${url.username}:${url.password}`)

const ofType = (events: readonly ConnectionEvent[], type: ConnectionEvent['type']): ConnectionEvent[] =>
  events.filter((event) => event.type === type)

describe('a credentials function', () => {
  it('is asked again before every attempt, and stands instead of the URL', async () => {
    let asked = 0
    const credentials = async () => ({ username: 'u@x', password: `p/${++asked}%` })
    const { connection, transport, clock } = setUp({ credentials }, 'scripted://old:secret@a')
    await connection.ready()
    expect(usersOf(transport)).toEqual(['u%40x:p%2F1%25'])
    transport.of('publish')!.die()
    await clock.pass(200)
    expect(usersOf(transport)).toEqual(['u%40x:p%2F1%25', 'u%40x:p%2F2%25'])
  })

  it('is tried again when it fails, and when what it gave was refused', async () => {
    let asked = 0
    const { connection, transport, clock, events } = setUp({
      credentials() {
        if (++asked === 1) throw new Error('the vault is sealed')
        return { username: 'u', password: String(asked) }
      },
    })
    transport.refusals.push(new ConnectionError('wrong password', { fatal: true }))
    const ready = connection.ready({ deadlineMs: 9_000 })
    await clock.pass(2_000)
    await ready
    expect(usersOf(transport)).toEqual(['u:3'])
    expect(ofType(events, 'down')).toMatchObject([
      { error: { fatal: false, message: expect.stringContaining('the vault is sealed') } },
      { error: { fatal: false, message: expect.stringContaining('wrong password') } },
    ])
  })

  it('that does not answer is given up at the connect timeout', async () => {
    const { connection, clock, events } = setUp({ credentials: () => new Promise(() => undefined), connectTimeoutMs: 500 })
    connection.ready().catch(() => undefined)
    await clock.pass(600)
    expect(ofType(events, 'down')).toMatchObject([{ error: { message: expect.stringContaining('no answer within 500 ms') } }])
  })

  it('renews on the living session what expires, and tells what goes wrong', async () => {
    let asked = 0
    const { connection, transport, clock, events } = setUp({
      credentials() {
        if (++asked === 3) throw new Error('the vault is sealed')
        return { username: 'u', password: `token-${asked}`, expiresInMs: 10_000 }
      },
    })
    await connection.ready()
    await clock.pass(7_900)
    const session = transport.of('publish')!
    expect(session.secrets).toEqual([])
    await clock.pass(200)
    expect(session.secrets).toEqual(['token-2'])
    await clock.pass(8_000)
    expect(ofType(events, 'credentials-failed')).toHaveLength(1)
    await clock.pass(1_000)
    expect(session.secrets).toEqual(['token-2', 'token-4'])
    session.die()
    await clock.pass(30_000)
    expect(session.secrets).toEqual(['token-2', 'token-4'])
  })
})

describe('a password in clear text', () => {
  it.each([
    ['amqp://broker/', 'broker'],
    ['amqp://10.0.0.7:5673', '10.0.0.7'],
    ['amqp://', undefined],
    ['amqp://localhost', undefined],
    ['amqp://127.0.0.2', undefined],
    ['amqp://[::1]', undefined],
    ['amqps://broker', undefined],
    ['omnibus:///data', undefined],
  ])('over %s would reach %s', (url, host) => {
    expect(clearTextHost(new URL(url))).toBe(host)
  })

  it('is told once for each host, or refused, or allowed', async () => {
    const warned = setUp({}, 'amqp://broker')
    await warned.connection.ready()
    void warned.connection.consume(queue('q'), () => undefined)
    await settle()
    expect(warned.transport.sessions).toHaveLength(2)
    expect(ofType(warned.events, 'clear-text')).toMatchObject([{ reason: expect.stringContaining('broker') }])

    const refused = setUp({ clearText: 'refuse' }, 'amqp://broker')
    await expect(refused.connection.ready()).rejects.toThrow(/clear text: use TLS/)
    expect(refused.transport.tried).toEqual([])

    const allowed = setUp({ clearText: 'allow' }, 'amqp://broker')
    await allowed.connection.ready()
    expect(ofType(allowed.events, 'clear-text')).toEqual([])
  })
})

it('gives consume up at its deadline, and leaves no subscription behind', async () => {
  const { connection, transport, clock } = setUp()
  transport.refusals.push(...Array.from({ length: 20 }, () => new ConnectionError('refused')))
  const early = connection.consume(queue('q'), () => undefined, { deadlineMs: 300 })
  const refused = expect(early).rejects.toThrow(/within 300 ms/)
  await clock.pass(301)
  await refused
  transport.refusals.length = 0
  await clock.pass(60_000)
  expect(transport.of('consume')!.subscriptions).toEqual([])
  const answer = Promise.withResolvers<void>()
  let cancelled = 0
  transport.of('consume')!.subscribe = async () => {
    await answer.promise
    return { cancel: async () => void cancelled++ }
  }
  const late = expect(connection.consume(queue('q'), () => undefined, { deadlineMs: 300 })).rejects.toThrow(/did not answer in time/)
  await clock.pass(301)
  await late
  answer.resolve()
  await settle()
  expect(cancelled).toBe(1)
})
