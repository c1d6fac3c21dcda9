/** The page on transports says what the transports say of themselves. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Capabilities } from '../../src/core/transport.ts'
import { conformanceSuite } from '../../src/testing/index.ts'
import { builtinTransport } from '../../src/transports/amqp/builtin.ts'
import { amqpTransport } from '../../src/transports/amqp/index.ts'
import { memoryTransport } from '../../src/transports/memory/index.ts'
import { redisTransport } from '../../src/transports/redis/index.ts'
import { sqsTransport } from '../../src/transports/sqs/index.ts'
import { RIGHTS } from '../support/redis.ts'
import { rabbitClassic, rabbitQuorum, sqs } from './exemptions.ts'

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'transports.md'), 'utf8')
/** The formatter pads cells, which says nothing. */
const rows = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => /^\| [^-]/.test(line))
    .map((line) =>
      line
        .split('|')
        .map((cell) => cell.trim())
        .join('|'),
    )

const section = (heading: string): string => page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? ''

it('has the table of capabilities that the transports have', () => {
  const transports = [memoryTransport, builtinTransport, amqpTransport, redisTransport, sqsTransport]
  const table = [
    ['', ...transports.map(({ name }) => `\`${name}:\``)],
    ...Object.keys(memoryTransport.capabilities).map((key) => [
      `\`${key}\``,
      ...transports.map(({ capabilities }) => cell(capabilities[key as keyof Capabilities])),
    ]),
  ]
  expect(rows(section('Capabilities'))).toEqual(table.map((cells) => `|${cells.join('|')}|`))
})

it('names the rights that the suite has on Redis', () => {
  expect(section('Redis and Valkey').replaceAll(/\s+/g, ' ')).toContain(`ACL SETUSER omnibus on >password ${RIGHTS}`)
})

it('lists every exemption with its reason', () => {
  const listed = [...new Set([...rabbitClassic, ...rabbitQuorum])].map(({ test, reason }) => {
    const where = rabbitClassic.some((exemption) => exemption.test === test) ? 'all' : 'quorum'
    return `|${where}|${test}|${reason}|`
  })
  expect(rows(section('Exemptions')).slice(1)).toEqual(listed)
  expect(rows(section('Exemptions on SQS')).slice(1)).toEqual(sqs.map(({ test, reason }) => `|${test}|${reason}|`))
})

describe('the suite', () => {
  it('refuses an exemption from a test that does not exist', () => {
    const known = [{ test: 'settling: no such test', reason: 'none' }]
    const register = (): void =>
      conformanceSuite({ name: 'x', transport: memoryTransport, url: () => 'memory:x', known, describe: () => {}, it: noRunner })
    expect(register).toThrow(/settling: no such test/)
  })

  it('skips what a transport cannot do, and says why', () => {
    const skipped: string[] = []
    const run: string[] = []
    conformanceSuite({
      name: 'poor',
      transport: {
        ...memoryTransport,
        capabilities: { ...memoryTransport.capabilities, priorities: false, exchangeTypes: ['direct'] },
      },
      url: () => 'memory:x',
      describe: (_, body) => body(),
      it: Object.assign((name: string) => void run.push(name), { skip: (name: string) => void skipped.push(name) }),
    })
    expect(skipped.filter((name) => name.endsWith('(skipped: this transport has no priorities)'))).toHaveLength(3)
    expect(skipped.filter((name) => name.includes('no topic exchange'))).toHaveLength(2)
    expect(run.length).toBeGreaterThan(50)
  })
})

const noRunner = Object.assign(() => {}, { skip: () => {} })

const cell = (value: readonly string[] | boolean | number | undefined): string =>
  Array.isArray(value) ? value.join(', ') : value === true ? 'yes' : value === false ? 'no' : String(value)
