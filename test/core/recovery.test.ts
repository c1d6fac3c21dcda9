import { describe, expect, it } from 'vitest'
import { exchange } from '../../src/core/entities.ts'
import { ConnectionError } from '../../src/core/errors.ts'
import { settle } from './fake-clock.ts'
import { endOf, setUp } from './scripted-connection.ts'

describe('recovery', () => {
  it('tries the hosts in turn, and less and less often', async () => {
    const { clock, connection, transport } = setUp({}, 'scripted://a,b')
    transport.refusals.push(...Array.from({ length: 100 }, () => new ConnectionError('refused')))
    void endOf(connection.ready())
    await clock.pass(1_000)
    const early = transport.tried.length
    expect(transport.tried.slice(0, 4)).toEqual(['a', 'b', 'a', 'b'])
    await clock.pass(60_000)
    const before = transport.tried.length
    await clock.pass(60_000)
    expect(early).toBeGreaterThan(4)
    expect(transport.tried.length - before).toBeLessThan(6)
  })

  it('follows a host that takes it soon, however often the link is cut, even before it is up', async () => {
    const { clock, connection, transport, publishing } = setUp()
    await connection.declare(exchange('logs'))
    transport.stalled = true
    for (let cut = 0; cut < 20; cut++) {
      publishing().die()
      await clock.pass(600)
    }
    expect(transport.sessions).toHaveLength(21)
    transport.stalled = false
    publishing().die()
    await clock.pass(600)
    expect(connection.connected).toBe(true)
  })

  it('tells at once when the broker refuses for good, and keeps asking slowly', async () => {
    const { clock, connection, transport } = setUp()
    transport.refusals.push(new ConnectionError('ACCESS_REFUSED', { fatal: true }))
    const end = endOf(connection.ready())
    await settle()
    expect(end.error).toMatchObject({ fatal: true })
    await clock.pass(1_000)
    expect(transport.sessions).toHaveLength(0)
    await clock.pass(5_000)
    expect(connection.connected).toBe(true)
  })

  it('gives up a session that has fallen silent', async () => {
    const { clock, connection, transport } = setUp({ heartbeatMs: 100 })
    void endOf(connection.ready())
    await settle()
    const silent = transport.sessions[0]!
    silent.lastHeardAt = clock.monotonic()
    await clock.pass(1_000)
    expect(silent.dead).toBe(true)
    expect(transport.sessions.length).toBeGreaterThan(1)
  })

  it('ends a session whose broker never answers what is declared on it, and opens another', async () => {
    const { clock, connection, transport, publishing } = setUp({ heartbeatMs: 0 })
    await connection.declare(exchange('logs'))
    transport.stalled = true
    publishing().die()
    await clock.pass(200)
    const stuck = publishing()
    transport.stalled = false
    await clock.pass(31_000)
    expect(stuck.dead).toBe(true)
    expect(publishing()).not.toBe(stuck)
    expect(connection.connected).toBe(true)
  })
})
