import { expect, test } from 'vitest'
import { problems, resolve } from './house.ts'

test('statsd needs no more than to be there', () => {
  expect(resolve({}).statsd).toBeUndefined()
  expect(resolve({ statsd: {} }).statsd).toEqual({ host: '127.0.0.1:8125', prefix: 'gunicorn', tags: {} })
  expect(resolve({ statsd: { host: 'metrics', prefix: 'shop', tags: { env: 'x' } } }).statsd).toEqual({
    host: 'metrics:8125',
    prefix: 'shop',
    tags: { env: 'x' },
  })
  expect(resolve({ statsd: { host: '[::1]:99' } }).statsd?.host).toBe('[::1]:99')
  expect(problems({ statsd: { host: ':8125', prefix: '', tags: { env: 'a|b' }, interval: 1 } })).toEqual([
    'statsd.interval: one of host, prefix, tags; an unknown option',
    'statsd.host: host or host:port, such as 127.0.0.1:8125; ":8125"',
    'statsd.prefix: a name such as gunicorn or shop.gunicorn; ""',
    'statsd.tags.env: a text without |, comma, # and space; "a|b"',
  ])
})
