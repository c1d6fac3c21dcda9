import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../support/omnibus.ts'
import { runToEnd } from '../support/process.ts'

test('lines that are held for the end of the turn keep their order, and are written when the process exits first', async () => {
  const program = `
    const { createLog } = await import(${JSON.stringify(join(root, 'src', 'worker', 'log.ts'))})
    const log = createLog('web.1')
    log.print('1 http://u:hunter2@x/')
    log.print('2')
    log.write('info', '3')
    log.print('4')
    process.exit(0)`
  const { code, output } = await runToEnd(process.execPath, ['--input-type=module', '-e', program])
  const lines = output.trimEnd().split('\n')
  expect(code).toBe(0)
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(
    ['1 http://u:***@x/', '2', '3', '4'].map((msg) => ({
      level: 30,
      time: expect.any(Number),
      pid: expect.any(Number),
      unit: 'web.1',
      msg,
    })),
  )
})
