import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/core/errors.ts'
import { describe as shown, parseAddress } from '../../src/transports/redis/address.ts'

const parse = (url: string) => parseAddress(new URL(url))

describe('the URL of Redis', () => {
  it.each<[string, object]>([
    ['redis://', { host: 'localhost', port: 6379, tls: false, database: 0, username: undefined, password: undefined, leaseMs: 30_000 }],
    ['rediss://u%40x:p%2F%3A@h:1/7', { host: 'h', port: 1, tls: true, database: 7, username: 'u@x', password: 'p/:' }],
    ['valkeys://:secret@[::1]', { host: '::1', tls: true, username: undefined, password: 'secret' }],
    ['sentinel://h/2?master_name=m&sentinel_password=s', { port: 26_379, master: 'm', sentinelPassword: 's', database: 2 }],
    [
      'redis://h/3?global_keyprefix=a.&sep=:&priority_steps=0,5&fanout_prefix={db}-',
      { names: expect.objectContaining({ prefix: 'a.', sep: ':', prioritySteps: [0, 5], fanoutPrefix: '3-' }) },
    ],
    [
      'redis://h?visibility_timeout=2.5&lease_seconds=1&polling_interval=0.01&fanout_pubsub=False',
      { visibilityMs: 2_500, leaseMs: 1_000, pollMs: 10, fanoutPubsub: false },
    ],
    ['rediss://h?cacertfile=/ca.pem', { files: { ca: '/ca.pem' } }],
  ])('%s is read', (url, expected) => {
    expect(parse(url)).toMatchObject(expected)
  })

  it.each([
    ['redis://h/first', 'path: expected the number of a database, got "first"'],
    ['redis://h?lease_seconds=0', 'lease_seconds: expected a number from 1, got 0'],
    ['redis://h?global_key_prefix=a', 'did you mean "global_keyprefix"?'],
    ['redis://h?priority_steps=3,6', 'priority_steps: expected rising numbers from 0 to 9 that begin with 0, such as 0,3,6,9, got "3,6"'],
    ['redis://h?fanout_pubsub=maybe', 'fanout_pubsub: expected true or false, got "maybe"'],
    ['redis://h?master_name=m', 'master_name: expected a sentinel: URL with it, got redis:'],
    ['sentinel://h', 'master_name: expected the name of the master that a sentinel: URL is to find, got none'],
    ['redis://:secret%@h', 'password: expected percent-encoding, in which "%" is %25'],
  ])('%s is refused, without the password', (url, problem) => {
    expect(() => parse(url)).toThrow(ConfigError)
    expect(() => parse(url)).toThrow(problem)
    expect(() => parse(url)).not.toThrow('secret')
  })

  it('is shown without user and password', () => {
    expect(shown(parse('rediss://user:secret@[::1]:1/7?global_keyprefix=a.'))).toBe('rediss://[::1]:1/7')
  })
})
