/** Where messages may go by HTTP, in all the spellings that have been used to get elsewhere. */
import { describe, expect, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { kindOf, whyNot } from '../../src/config/target.ts'

const problemOf = (to: string): string | undefined => {
  try {
    resolveConfig({ forward: { it: { queue: 'q', to } } }, { root: '/' })
    return undefined
  } catch (error) {
    return String(error)
  }
}

describe('an address in the URL itself', () => {
  test.each([
    'http://169.254.169.254/latest/meta-data',
    'http://2852039166/',
    'http://0xA9FEA9FE/',
    'http://0xa9.0xfe.0xa9.0xfe/',
    'http://0251.0376.0251.0376/',
    'http://169.254.43518/',
    'http://①⑥⑨.254.169.254/',
    'http://[::ffff:169.254.169.254]/',
    'http://[::ffff:a9fe:a9fe]/',
    'http://[0:0:0:0:0:ffff:a9fe:a9fe]/',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://[::169.254.169.254]/',
    'http://[2002:a9fe:a9fe::]/',
    'http://[fd00:ec2::254]/',
    'http://[fe80::1]/',
    'http://[::]/',
    'http://0/',
    'http://0.0.0.0:5000/',
    'http://000.0.0.0/',
    'http://100.100.100.200/',
    'http://168.63.129.16/',
    'http://224.0.0.1/',
    'http://255.255.255.255/',
    'http://[ff02::1]/',
  ])('%s is never one', (to) => expect(problemOf(to)).toContain('forward.it.to: expected an address that messages may go to'))

  test.each([
    'ftp://h/',
    'file:///etc/passwd',
    'gopher://h/',
    'h:80',
    '//h/',
    'unix:/s',
    '',
    'http://u:canary@h/',
    'https://canary@h/',
    'http://h/#x',
  ])('%j is no such URL', (to) => {
    const problem = problemOf(to)
    expect(problem).toContain('forward.it.to: expected an http:// or https:// URL')
    expect(problem).not.toContain('canary')
  })

  test.each([
    'http://127.0.0.1:5000/',
    'http://[::1]/',
    'http://10.1.2.3/',
    'http://app:5000/',
    'https://example.org/in?x=1',
    'http://localhost/',
  ])('%s may be given', (to) => expect(problemOf(to)).toBeUndefined())
})

test.each([
  ['8.8.8.8', 'public'],
  ['64:ff9b::808:808', 'public'],
  ['2606:4700::1111', 'public'],
  ['::ffff:10.0.0.1', 'private'],
  ['100.64.0.1', 'private'],
  ['fd12::1', 'private'],
  ['127.1.2.3', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['64:ff9b::7f00:1', 'loopback'],
  ['fe80::1%eth0', 'never'],
  ['no address', 'never'],
])('%s is %s', (address, kind) => expect(kindOf(address)).toBe(kind))

test('where a name may lead', () => {
  const [named, local] = [new URL('http://app/'), new URL('http://localhost/')]
  expect(whyNot('8.8.8.8', named, false)).toBeUndefined()
  expect(whyNot('10.0.0.1', named, false)).toContain('private network')
  expect(whyNot('127.0.0.1', named, false)).toContain('this machine')
  expect(whyNot('127.0.0.1', local, false)).toBeUndefined()
  expect(whyNot('10.0.0.1', named, true)).toBeUndefined()
  expect(whyNot('169.254.169.254', named, true)).toBe('is no address that messages may go to')
  expect(whyNot('169.254.169.254', local, true)).toBe('is no address that messages may go to')
})
