/** F5: the event loop of a web worker and of a consumer hangs, in every way there is. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createBus } from 'omnibus'
import { expect } from 'vitest'
import type { CpuProfile } from '../../../src/supervisor/hang/hottest.ts'
import type { Status } from '../../../src/supervisor/status.ts'
import { omnibus, userFolder } from '../../support/omnibus.ts'
import { freePort } from '../../support/ports.ts'
import { waitFor } from '../../support/wait.ts'
import { ask } from '../../worker/load.ts'
import { Asked } from '../fixtures/hanging/contracts.ts'
import type { Row, Scale } from '../world.ts'

interface Kind {
  readonly kind: string
  /** What is said of a process, with where it is if that can be found out; a pattern. */
  readonly process: string
  /** And of a thread. */
  readonly thread: string
  /** There is a CPU profile: all but of a system call that blocks. */
  readonly profiled: boolean
}

/** V8 may have made one function of several, so that which of them it is in is not certain; nor is on a busy machine whether it waits. */
const PLACE = String.raw`, in [^"]+ \(\S*hangs\.ts:\d+\)`

const KINDS: readonly Kind[] = [
  { kind: 'busy', process: `(?:running without a pause .*|waiting)${PLACE}`, thread: PLACE, profiled: true },
  { kind: 'microtasks', process: `(?:running without a pause .*|waiting)${PLACE}`, thread: PLACE, profiled: true },
  { kind: 'atomics', process: `(?:running without a pause .*|waiting)${PLACE}`, thread: PLACE, profiled: true },
  // Whether V8 gives up first is a matter of luck.
  {
    kind: 'garbage',
    process: `collecting garbage \\d+ % of the time|${PLACE}|JavaScript heap out of memory`,
    thread: `collecting garbage \\d+ % of the time|${PLACE}|memory limit`,
    profiled: false,
  },
  { kind: 'exec', process: 'waiting for a program to end that it has started: .*sleep 1000', thread: 'killed by SIGKILL', profiled: false },
  { kind: 'fifo', process: 'waiting for fifo to open', thread: 'killed by SIGKILL', profiled: false },
]

/** Each kind of hang at once in one of two web workers, and in the only consumer; both are to be back, and the message is to be handled. */
export async function hangs(scale: Scale): Promise<Row> {
  const unitKinds = scale === 'long' ? (['process', 'thread'] as const) : (['process'] as const)
  let slowest = 0
  for (const unitKind of unitKinds) slowest = Math.max(slowest, await everyKind(unitKind))
  return {
    did: `${KINDS.map(({ kind }) => kind).join(', ')}, each in a web worker and a consumer, as ${unitKinds.join('es and ')}s; limit 1000 ms`,
    seen: `each told of with what it hung in, killed and replaced, ${Math.round(slowest)} ms after it began at the slowest of processes; every message handled again`,
  }
}

/** Resolves with the longest that a process took to be replaced. Milliseconds. */
async function everyKind(unitKind: 'process' | 'thread'): Promise<number> {
  const folder = userFolder('hanging')
  cpSync(join(import.meta.dirname, '..', 'fixtures', 'hanging'), folder, { recursive: true })
  execFileSync('mkfifo', [join(folder, 'fifo')])
  const [bind, probes] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
  const env = { BIND: bind, PROBES: probes, KIND: unitKind, OMNIBUS_LOG: 'json' }
  await using master = omnibus(['serve'], { cwd: folder, env })
  await master.line(/Listening on/)
  await using bus = createBus({ url: `omnibus://${folder}/.omnibus?spawn=false`, onEvent: () => undefined })
  const status = async (): Promise<Status> => (await fetch(`http://${probes}/status`)).json() as Promise<Status>
  const read = (name: string): string => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : '')
  let slowest = 0

  for (const { kind, profiled, ...told } of KINDS) {
    const from = master.lines.length
    const before = await status()
    for (const unit of ['web', 'work']) writeFileSync(join(folder, `hang-${unit}-${kind}`), '')
    const begun = performance.now()
    const unanswered = ask(`http://${bind}/${kind}`)
    unanswered.catch(() => undefined)
    await bus.publish(Asked, { kind })
    await Promise.all(['web', 'work'].map((unit) => master.line(`${unit} hangs: ${kind}`, { from })))
    // The other one serves on.
    expect(Number(await ask(`http://${bind}/`))).toBeGreaterThan(0)
    await expect(unanswered).rejects.toThrow()
    const lines = await Promise.all(
      ['web', 'work'].map((unit) => {
        const said = new RegExp(`"msg":"${unit}\\.[\\d.]+ (?:is|was|ended) [^"]*(?:${told[unitKind]})`)
        return master.line(said, { from, deadlineMs: 40_000 })
      }),
    )
    for (const line of profiled ? lines : []) {
      const [, file = ''] = /see ([^"]+\.cpuprofile)/.exec(line) ?? []
      expect((JSON.parse(readFileSync(file, 'utf8')) as CpuProfile).samples?.length, line).toBeGreaterThan(10)
    }
    const restarts = (of: Status): number => of.units.reduce((sum, unit) => sum + unit.restarts, 0)
    await waitFor(
      async () => {
        const { ready, degraded, units } = await status()
        return ready && !degraded && units.every(({ threads, unit }) => threads === undefined || threads === (unit === 'web' ? 2 : 1))
      },
      { what: `all to be ready after ${kind}`, deadlineMs: 40_000 },
    )
    await waitFor(() => read('handled').includes(kind), { what: `the message of ${kind} to come again` })
    if (unitKind === 'thread') continue
    slowest = Math.max(slowest, performance.now() - begun)
    expect(restarts(await status()) - restarts(before)).toBe(2)
    if (kind === 'garbage') continue
    await waitFor(() => /^web\.\d/m.test(read('hangs')) && /^work\.1/m.test(read('hangs')), { what: `onHang for ${kind}` })
    writeFileSync(join(folder, 'hangs'), '')
  }
  master.signal('SIGTERM')
  expect(await master.exit()).toEqual({ code: 0, signal: null })
  return slowest
}
