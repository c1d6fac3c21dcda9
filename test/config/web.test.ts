import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DEFAULT_FORMAT } from '../../src/config/access-log.ts'
import { problems, resolve, root, web } from './house.ts'

test.each(['8000', 'host', 'host:', 'host:65536', '::1:80', '[::g]:80', 'a b:80', 'unix:', 'http://h:80', '', 'fd://2', 'fd://x'])(
  '%j is no address',
  (bind) => {
    expect(problems({ web: { ...web, bind } })).toEqual([
      `web.bind: host:port, :port, unix:/path or fd://N, or a list of them; ${JSON.stringify(bind)}`,
    ])
  },
)

test('each address is named once', () => {
  const bind = ['127.0.0.1:8000', 'unix:w.sock', '127.0.0.1:8000']
  expect(problems({ web: { ...web, bind } })).toEqual(['web.bind: each address once; "127.0.0.1:8000" twice'])
})

test('the access log: on, off, or a format of atoms that exist', () => {
  const formatOf = (accessLog: unknown): unknown => resolve({ web: { ...web, accessLog } as never }).web?.accessLog
  expect([false, '', true, '-', '%(h)s 100%%'].map(formatOf)).toEqual(['', '', DEFAULT_FORMAT, DEFAULT_FORMAT, '%(h)s 100%%'])
  const atoms = 'atoms written %(X)s, X one of h l u t r m U q H s B b f a T D M L p {header}i {header}o {variable}e'
  expect(problems({ web: { ...web, accessLog: '%(h)s %(x)s %h %({a}z)s 100%' } })).toEqual(
    ['%(x)s', '%h', '%({a}z)s', '%'].map((part) => `web.accessLog: ${atoms}; ${JSON.stringify(part)}`),
  )
  expect(problems({ web: { ...web, accessLog: 1 } })).toEqual(['web.accessLog: true, false or a format such as "%(h)s %(r)s %(s)s"; 1'])
})

test.each(['10.0.0.0/33', '10.0.0', 'localhost', '::1/129', '10.0.0.0/', ''])('%j is no network of proxies', (network) => {
  expect(
    resolve({ web: { ...web, forwardedAllowIps: ['127.0.0.1', '10.0.0.0/8', '2001:db8::/32', '*'] } }).web?.forwardedAllowIps,
  ).toHaveLength(4)
  const expected = 'an IP address, a network such as 10.0.0.0/8, or *'
  expect(problems({ web: { ...web, forwardedAllowIps: ['::1', network] } })).toEqual([
    `web.forwardedAllowIps[1]: ${expected}; ${JSON.stringify(network)}`,
  ])
})

describe('web threads', () => {
  const threads = (more: object = {}, node = '24.21.0'): string[] => problems({ web: { ...web, kind: 'thread', ...more } }, { node })

  test.each(['24.20.0', '24.21.0', '26.6.0', '26.10.1', '27.0.0'])('are for Node %s', (node) => expect(threads({}, node)).toEqual([]))

  test.each(['24.19.9', '25.9.0', '26.5.0'])('are not for Node %s', (node) => {
    expect(threads({}, node)).toEqual([`web.kind: 'process', or Node 24.20 or 26.6 or newer for 'thread'; Node ${node}`])
  })

  test('need TCP, and a module to preload that is there', () => {
    expect(threads({ bind: 'unix:/x.sock', preload: './tables.ts' })).toEqual([
      "web.bind: host:port with web.kind 'thread', since Node moves only TCP sockets to threads; unix:/x.sock",
      `web.preload: a module's path; ${join(root, 'tables.ts')}, which is no file`,
    ])
  })
})
