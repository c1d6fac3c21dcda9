/** The documents name what the code has, and nothing else. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { EXIT } from '../../src/supervisor/exit-codes.ts'
import { filesIn, root } from './source-files.ts'

const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const found = (text: string, pattern: RegExp): string[] =>
  [...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? ''))].toSorted()
/** The part of a document under one heading. */
const section = (text: string, heading: string): string =>
  text.split(/^(?=## )/m).find((part) => part.startsWith(`## ${heading}`)) ?? `no section "${heading}"`

test('error codes', () => {
  const inCode = found(read('src/core/errors.ts'), /code = '(\w+)'/g)
  expect(inCode.length).toBeGreaterThan(5)
  expect(found(read('docs/messaging.md'), /`(ERR_\w+)`/g)).toEqual(inCode)
})

test.each(['README.md', 'docs/operations.md'])('exit codes in %s', (path) => {
  const text = section(read(path), path === 'README.md' ? 'Signals' : 'Exit codes')
  const codes = found(text, /^\| (\d+) +\|/gm).map(Number)
  expect(codes.toSorted((a, b) => a - b)).toEqual(Object.values(EXIT).toSorted((a, b) => a - b))
})

test('signals', () => {
  const inCode = found(/type MasterSignal = ([^\n]+)/.exec(read('src/supervisor/events.ts'))?.[1] ?? '', /'(SIG\w+)'/g)
  expect(inCode).toContain('SIGTERM')
  const told = found(section(read('docs/operations.md'), 'Signals'), /`(SIG\w+)`/g)
  // SIGKILL has no handler, but an answer.
  expect(told.filter((name) => name !== 'SIGKILL')).toEqual(inCode)
})

test('config keys', () => {
  const types = filesIn(/\.ts$/, 'src/config').map(read).join('')
  const keysOf = (name: string): string[] => {
    const [, parents, body = ''] = new RegExp(`interface ${name}(?: extends ([\\w, ]+))? \\{([^]*?)\\n\\}`).exec(types) ?? []
    const own = found(body.replace(/\/\*[^]*?\*\//g, ''), /^ {2}(\w+)\??[(:]/gm)
    return [...own, ...(parents?.split(', ').flatMap(keysOf) ?? [])].toSorted()
  }
  const config = read('docs/config.md')
  const told = (heading: string): string[] => found(section(config, heading), /^\| `([\w.]+)` +\|/gm)
  for (const [heading, name] of [
    ['`bus`', 'BusConfig'],
    ['`web`', 'WebConfig'],
    ['`consumers.NAME`', 'ConsumerConfig'],
    ['`exec.NAME`', 'ExecConfig'],
    ['`forward.NAME`', 'ForwardConfig'],
    ['`gateway`', 'GatewayConfig'],
    ['`preStart`', 'PreStartConfig'],
    ['`hooks`', 'Hooks'],
  ] as const) {
    const keys = keysOf(name)
    expect(keys.length).toBeGreaterThan(1)
    expect(told(heading), heading).toEqual(keys)
  }
  const top = [
    ...told('The rest').map((key) => key.replace(/\..*/, '')),
    'bus',
    'web',
    'consumers',
    'exec',
    'forward',
    'gateway',
    'preStart',
    'hooks',
  ]
  expect(top.toSorted()).toEqual(keysOf('OmnibusConfig'))
  for (const key of keysOf('RestartConfig')) expect(section(config, 'The rest')).toContain(`\`${key}\``)
})

describe('links', () => {
  const documents = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...filesIn(/\.md$/, 'docs', 'examples', 'bench')]
  test.each(documents)('of %s lead somewhere', (path) => {
    const targets = found(read(path), /\]\(([^)#]+)[^)]*\)/g).filter((target) => !/^https?:/.test(target))
    expect(targets.filter((target) => !existsSync(join(root, dirname(path), target)))).toEqual([])
  })
})
