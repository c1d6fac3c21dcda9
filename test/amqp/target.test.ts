import { describe, expect, it } from 'vitest'
import { parseAddress } from '../../src/amqp/index.ts'
import { ConfigError } from '../../src/core/errors.ts'

const parsed = (url: string): unknown => parseAddress(new URL(url))
const guest = { username: 'guest', password: 'guest' }

describe("a broker's URL", () => {
  it.each([
    ['amqp://', { kind: 'tcp', host: 'localhost', port: 5672 }, guest, '/'],
    ['amqp://h', { kind: 'tcp', host: 'h', port: 5672 }, guest, '/'],
    ['amqp://h/', { kind: 'tcp', host: 'h', port: 5672 }, guest, '/'],
    ['amqp://h/%2F', { kind: 'tcp', host: 'h', port: 5672 }, guest, '/'],
    ['amqp://h/%2Fa%20b', { kind: 'tcp', host: 'h', port: 5672 }, guest, '/a b'],
    ['amqps://h:1/v', { kind: 'tls', host: 'h', port: 1 }, guest, 'v'],
    ['amqps://h', { kind: 'tls', host: 'h', port: 5671 }, guest, '/'],
    ['amqp://u%40x:p%2F%3A%25@[::1]:5673/v', { kind: 'tcp', host: '::1', port: 5673 }, { username: 'u@x', password: 'p/:%' }, 'v'],
    ['amqp://u@h', { kind: 'tcp', host: 'h', port: 5672 }, { username: 'u', password: '' }, '/'],
  ])('%s is read', (url, target, credentials, vhost) => {
    expect(parsed(url)).toEqual({ target, credentials, vhost, files: {} })
  })

  it('carries tuning and TLS files', () => {
    expect(parsed('amqps://h?heartbeat=5&frame_max=8192&channel_max=9&cacertfile=/ca.pem&certfile=/c.pem&keyfile=/k.pem')).toMatchObject({
      heartbeatMs: 5000,
      frameMax: 8192,
      channelMax: 9,
      files: { ca: '/ca.pem', cert: '/c.pem', key: '/k.pem' },
    })
  })

  it.each([
    ['amqp://h?hartbeat=5', /hartbeat: expected a known option; did you mean "heartbeat"\?/],
    ['amqp://h?frame_max=100&heartbeat=-1', /frame_max: expected a whole number from 4096 to 4294967295, got 100/],
    ['amqp://h?frame_max=100&heartbeat=-1', /heartbeat: expected a whole number from 0 to 65535, got "-1"/],
    ['amqp://h?auth_mechanism=kerberos', /auth_mechanism: expected one of PLAIN, AMQPLAIN, EXTERNAL, got "KERBEROS"/],
    ['amqp://h?auth_mechanism=external&certfile=/c.pem', /auth_mechanism: expected amqps: .* got amqp:/],
    ['amqps://h?auth_mechanism=external', /auth_mechanism: expected amqps: and a client certificate .* with EXTERNAL, got no certfile/],
    ['amqp://u:secret%@h', /password: expected percent-encoding, in which "%" is %25/],
  ])('%s is refused, without the password', (url, problem) => {
    let error: unknown
    try {
      parsed(url)
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(ConfigError)
    expect(error).toMatchObject({ message: expect.stringMatching(problem) })
    expect(String(error)).not.toContain('secret')
  })
})
