import { expect, it } from 'vitest'
import { waitFor } from '../support/wait.ts'
import { confirmed, onEachBroker, unrouted } from './brokers.ts'
import { consume, message, publish, unique } from './sessions.ts'

onEachBroker('publishing', (on) => {
  it('confirms thousands in flight, each once', async () => {
    const name = await on.declared()
    const messages = Array.from({ length: 5000 }, (_, i) => message(name, `m${i}`))
    expect(await publish(on.session, messages)).toEqual(messages.map(() => confirmed))
    const { bodies } = await consume(on.session, name)
    await waitFor(() => bodies.length === 5000, { what: 'all deliveries' })
    expect(bodies).toEqual(messages.map((_, i) => `m${i}`))
  })

  it('tells unroutable ones from routed ones, also when they look alike', async () => {
    const name = await on.declared()
    const key = unique('nowhere')
    const messages = Array.from({ length: 300 }, (_, i) =>
      i % 3 === 0
        ? message(key, 'same', { properties: { messageId: `${i}` } })
        : i % 3 === 1
          ? message(name, 'same')
          : message(key, 'same'),
    )
    messages.push(message(unique('nowhere'), 'silent', { mandatory: false }))
    const results = await publish(on.session, messages)
    expect(results).toEqual(messages.map((m) => (m.routingKey === name || !m.mandatory ? confirmed : unrouted)))
  })

  it.each([0, 1, 16 * 1024, 131_072 - 8, 131_072 - 7, 1_000_000])('carries a body of %i bytes and all properties', async (size) => {
    const name = await on.declared()
    const body = Buffer.alloc(size, 'omnibus')
    const properties = {
      contentType: 'application/octet-stream',
      contentEncoding: 'binary',
      headers: { text: 'é', number: 1, big: 2 ** 40, deep: { list: [true, null, 1.5] }, at: new Date(1000) },
      persistent: true,
      priority: 3,
      correlationId: 'c',
      replyTo: 'r',
      expirationMs: 600_000,
      messageId: 'm',
      timestamp: 1_700_000_000_000,
      type: 't',
      userId: 'guest',
      appId: 'a',
    }
    expect(await publish(on.session, [message(name, body, { properties })])).toEqual([confirmed])
    const got = await on.session.get(name)
    expect(Buffer.from(got?.body ?? []).equals(body)).toBe(true)
    expect(got?.properties).toEqual(properties)
    expect(got).toMatchObject({ exchange: '', routingKey: name, queue: name, redelivered: false, deliveryCount: 0 })
    expect(got?.settle('ack')).toBe(true)
    expect(await on.session.get(name)).toBeUndefined()
  })

  it('refuses only what met a missing exchange, and sends the rest again', async () => {
    const name = await on.declared()
    const missing = unique('no-exchange')
    const messages = Array.from({ length: 200 }, (_, i) =>
      i % 50 === 25 ? message('k', 'lost', { exchange: missing }) : message(name, `m${i}`),
    )
    const results = await publish(on.session, messages)
    expect(results).toEqual(
      messages.map((m) =>
        m.exchange === missing
          ? { status: 'refused', reason: expect.stringMatching(`NOT_FOUND - no exchange '${missing}'.*404`) }
          : confirmed,
      ),
    )
    const { bodies } = await consume(on.session, name)
    await waitFor(() => new Set(bodies).size === 196, { what: 'every message that was confirmed' })
    expect(on.deaths).toEqual([])
  })

  it('finds out which one broke the channel when the broker does not say', async () => {
    const name = await on.declared()
    const messages = Array.from({ length: 60 }, (_, i) =>
      i === 20 || i === 40 ? message(name, 'forged', { properties: { userId: 'somebody else' } }) : message(name, `m${i}`),
    )
    const results = await publish(on.session, messages)
    const refused = { status: 'refused', reason: expect.stringMatching(/user_id property set to 'somebody else'.*406/) }
    expect(results).toEqual(messages.map((m) => (m.properties.userId ? refused : confirmed)))
    expect(await publish(on.session, [message(name)])).toEqual([confirmed])
  })

  it('refuses what cannot be encoded, and reports a nack of a full queue', async () => {
    const name = await on.declared({ maxLength: 1, overflow: 'reject-publish' })
    const [tooLong, badPriority, first, second] = await publish(on.session, [
      message(name, 'x', { properties: { headers: { big: 'x'.repeat(140_000) } } }),
      message(name, 'x', { properties: { priority: 1000 } }),
      message(name, 'first'),
      message(name, 'second'),
    ])
    expect(tooLong).toEqual({ status: 'refused', reason: expect.stringMatching(/frame of \d+ bytes, but frame_max is 131072/) })
    expect(badPriority).toEqual({ status: 'refused', reason: expect.stringMatching(/priority/) })
    expect(first).toEqual(confirmed)
    expect(second).toEqual({ status: 'nacked', reason: expect.stringMatching(/nack/) })
  })
})
