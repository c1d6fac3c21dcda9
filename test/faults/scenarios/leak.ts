/** F7, without load and for longer: what a master holds after a thousand reloads. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect } from 'vitest'
import { omnibus, userFolder } from '../../support/omnibus.ts'
import { freePort } from '../../support/ports.ts'
import { waitFor } from '../../support/wait.ts'
import type { Row, Scale } from '../world.ts'

const COUNTS = pathToFileURL(join(import.meta.dirname, '..', 'fixtures', 'counts.mjs')).href

interface Held {
  readonly descriptors: number
  readonly resources: number
  readonly timers: number
  readonly listeners: number
}

/** A web worker, a command and a hook host; probes and the control socket. */
export async function leak(scale: Scale): Promise<Row> {
  const { reloads, early } = scale === 'long' ? { reloads: 1_000, early: 100 } : { reloads: 5, early: 2 }
  const folder = userFolder('leak')
  const [port, probes] = [await freePort(), await freePort()]
  writeFileSync(join(folder, 'web.ts'), 'export default (request, response) => response.end()\n')
  writeFileSync(
    join(folder, 'omnibus.config.ts'),
    `export default {
  bus: { url: 'amqp://127.0.0.1:1' },
  web: { entry: './web.ts', bind: '127.0.0.1:${port}' },
  exec: { sleeper: { command: ['sleep', '1000'], ready: 'started' } },
  probes: '127.0.0.1:${probes}',
  hooks: { onStarting() {}, childExit() {} },
}\n`,
  )
  await using master = omnibus(['serve'], { cwd: folder, env: { NODE_OPTIONS: `--import=${COUNTS}` } })
  await master.line(/Listening on/)
  const reload = async (): Promise<void> => {
    const from = master.lines.length
    master.signal('SIGHUP')
    await master.line('"Reloaded"', { from })
  }
  const held = async (): Promise<Held> => {
    const now = Date.now()
    const counts = await waitFor(
      () => [JSON.parse(readFileSync(join(folder, 'counts'), 'utf8')) as Held & { at: number }].find(({ at }) => at > now),
      { what: 'the master to be counted' },
    )
    return { ...counts, descriptors: readdirSync(`/proc/${master.pid}/fd`).length }
  }
  const residentMb = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${master.pid}/status`, 'utf8'))?.[1]) / 1_024

  for (let n = 0; n < early; n++) await reload()
  const [before, beforeMb] = [await held(), residentMb()]
  for (let n = early; n < reloads; n++) await reload()
  const afterMb = residentMb()
  const names = ['descriptors', 'resources', 'timers', 'listeners'] as const
  let after = await held()
  const isBack = async (): Promise<boolean> => {
    after = await held()
    return names.every((name) => after[name] <= before[name])
  }
  // A process that was asked to go may not have gone yet, and a timer not have fired.
  await waitFor(isBack, { what: 'it to hold no more than before' }).catch(() => undefined)
  const grown = names.filter((name) => after[name] > before[name])
  expect(grown, JSON.stringify({ before, after })).toEqual([])
  expect(afterMb).toBeLessThan(beforeMb + 20)
  master.signal('SIGTERM')
  expect(await master.exit()).toEqual({ code: 0, signal: null })
  const figures = names.map((name) => `${before[name]} → ${after[name]} ${name}`).join(', ')
  return {
    did: `${reloads} reloads, of web, a command and hooks`,
    seen: `the master held, from the ${early}th on: ${figures}, ${Math.round(beforeMb)} → ${Math.round(afterMb)} MiB`,
  }
}
