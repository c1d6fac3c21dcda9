/** What is made of a profile, and of a child's stderr. The hangs themselves are F5 of the faults. */
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { type CpuProfile, hottest, placeOf } from '../../src/supervisor/hang/hottest.ts'
import { passLines } from '../../src/supervisor/stderr.ts'
import { house } from './house.ts'

const node = (id: number, functionName: string, url: string, head: number, rest: Partial<CpuProfile['nodes'][number]> = {}) => ({
  id,
  callFrame: { functionName, url, lineNumber: head - 1 },
  ...rest,
})
/** (root) calls listOnTimeout of Node, which calls route, which calls the nameless one. */
const NODES = [
  node(1, '(root)', '', 0, { children: [2, 5, 6] }),
  node(2, 'listOnTimeout', 'node:internal/timers', 7, { children: [3] }),
  node(3, 'route', 'file:///app/my%20web.ts', 10, { children: [4] }),
  node(4, '', 'file:///app/my%20web.ts', 20, {
    positionTicks: [
      { line: 21, ticks: 2 },
      { line: 22, ticks: 8 },
    ],
  }),
  node(5, '(garbage collector)', '', 0),
  node(6, '(idle)', '', 0),
]
const samples = (counts: Record<number, number>): number[] => Object.entries(counts).flatMap(([id, n]) => Array<number>(n).fill(Number(id)))

test.each([
  [
    'a loop',
    { 4: 10, 3: 5, 5: 6 },
    ', in (anonymous) (/app/my web.ts:22)',
    ['(anonymous) (/app/my web.ts:22)', 'route (/app/my web.ts:10)'],
  ],
  ['a full heap', { 4: 5, 5: 15 }, ', collecting garbage 75 % of the time', expect.anything()],
  ['an idle loop with its heartbeat', { 6: 99, 3: 1 }, '', []],
  ['a module that loops', { 2: 10 }, ', in listOnTimeout (node:internal/timers:7)', ['listOnTimeout (node:internal/timers:7)']],
  ['nothing', {}, '', []],
])('a profile of %s', (_, counts, place, stack) => {
  const hot = hottest({ nodes: NODES, samples: samples(counts) })
  expect(placeOf(hot)).toBe(place)
  expect(hot.stack).toEqual(stack)
})

test('stderr is passed on by whole lines, and in pieces where there are none', async () => {
  const passed: string[] = []
  const long = 'x'.repeat(70_000)
  await passLines(
    Readable.from(['one\ntw', 'o\nthr', 'ee', `\n${long}`, 'end'].map((text) => Buffer.from(text))),
    (lines) => void passed.push(lines),
  )
  expect(passed).toEqual(['one\n', 'two\n', `three\n${long}`, 'end\n'])
})

test('of a heap that overflows the log says so, and stderr is whole', async () => {
  const config = { web: { entry: './web.ts', bind: '127.0.0.1:0' }, env: { NODE_OPTIONS: '--max-old-space-size=40' } }
  await using h = await house({ config, behaviours: { 'web.1': 'overflow-once' } })
  const { units } = await h.ready()
  expect(units[0]?.restarts).toBe(1)
  const said = h.messages().join('\n')
  expect(said).toMatch(/web\.1 was killed by SIGABRT: [^\n]* - JavaScript heap out of memory; it starts again/)
  expect(said).toMatch(/^it is about to overflow$/m)
  expect(said).toMatch(/^FATAL ERROR: /m)
})
