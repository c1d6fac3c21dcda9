/** A handler that takes longer than a stop may: what it held is named, and comes again. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createBus, event } from '../../src/index.ts'
import { omnibus, userFolder } from '../support/omnibus.ts'

const consumer = (handlerMs: number): string => `import { consume, event, on, queue } from 'omnibus'
export default consume(queue('slow', { listensTo: [event('slow.asked.v1')] }), on(event('slow.asked.v1'), async ({ id }) => {
  console.log('begins ' + id)
  await new Promise((resolve) => setTimeout(resolve, ${handlerMs}))
  console.log('ends ' + id)
}))\n`

test('a handler of 20 s with a budget of 1.5 s: exit code 75, its unit and message are named, and the message comes again', async () => {
  const cwd = userFolder('stop-budget')
  const write = (name: string, source: string): void => writeFileSync(join(cwd, name), source)
  write('omnibus.config.ts', `export default { consumers: { work: { entry: './work.ts' } }, gracefulTimeoutMs: 1_500 }\n`)

  write('work.ts', consumer(20_000))
  await using slow = omnibus(['serve'], { cwd })
  await slow.line('"Ready"')
  await using bus = createBus({ url: `omnibus://${join(cwd, '.omnibus')}` })
  await bus.publish(event('slow.asked.v1'), {}, { id: 'one' })
  await slow.line('begins one')
  await bus.close()
  slow.signal('SIGTERM')
  expect(await slow.exit()).toEqual({ code: 75, signal: null })
  const said = slow.lines.join('\n')
  expect(said).toMatch(/work\.1\b.*1 message given back unhandled.*\bone\b/)
  expect(said).toContain('Stopped, but cut off: work.1')
  expect(said).not.toContain('ends one')

  write('work.ts', consumer(0))
  await using quick = omnibus(['serve'], { cwd })
  await quick.line('ends one')
  quick.signal('SIGTERM')
  expect(await quick.exit()).toEqual({ code: 0, signal: null })
})
