/** Whatever happens in whatever order: what must always hold. */
import * as fc from 'fast-check'
import { test } from 'vitest'
import type { Event, MasterSignal } from '../../../src/supervisor/events.ts'
import { command, config, Driver, type FakeChild, oldFirst, running } from './driver.ts'

type Step =
  /** Child `who`, counted round, does what it ought to do next. */
  | { readonly type: 'behave'; readonly who: number }
  | { readonly type: 'crash'; readonly who: number }
  | { readonly type: 'beat'; readonly who: number; readonly connected: boolean; readonly requests: number }
  | { readonly type: 'prepared'; readonly error: boolean }
  | { readonly type: 'pass'; readonly ms: number }
  | { readonly type: 'sleep'; readonly ms: number }
  | { readonly type: 'signal'; readonly signal: MasterSignal }
  | { readonly type: 'successor'; readonly is: 'ready' | 'gone' }
  | { readonly type: 'request'; readonly request: Extract<Event, { type: 'request' }>['request'] }
  /** What the config file says from now on. */
  | {
      readonly type: 'edit'
      readonly port: number
      readonly workers: number
      readonly instances: number
      readonly hooks: boolean
      readonly broken: boolean
    }

const who = fc.nat(20)
const disturbing = fc.oneof(
  { weight: 12, arbitrary: fc.record({ type: fc.constant('behave' as const), who }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('crash' as const), who }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('beat' as const), who, connected: fc.boolean(), requests: fc.nat(12) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('prepared' as const), error: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('pass' as const), ms: fc.nat(12_000) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('sleep' as const), ms: fc.nat(60_000) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('signal' as const),
      signal: fc.constantFrom<MasterSignal>('SIGHUP', 'SIGTTIN', 'SIGTTOU', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('successor' as const),
      is: fc.constantFrom('ready' as const, 'ready' as const, 'gone' as const),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('request' as const),
      request: fc.oneof(
        fc.constant({ verb: 'reload' as const }),
        fc.record({ verb: fc.constant('restart' as const), unit: fc.constantFrom('web', 'web.2', 'video', 'hooks', 'broker', 'gone') }),
        fc.record({ verb: fc.constant('scale' as const), unit: fc.constantFrom('web', 'video', 'hooks'), size: fc.nat(3) }),
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('edit' as const),
      port: fc.integer({ min: 8000, max: 8002 }),
      workers: fc.integer({ min: 1, max: 3 }),
      instances: fc.nat(2),
      hooks: fc.boolean(),
      broken: fc.boolean(),
    }),
  },
)

function step(driver: Driver, action: Step): void {
  const children = [...driver.children.values()]
  const chosen = 'who' in action ? children[action.who % Math.max(1, children.length)] : undefined
  switch (action.type) {
    case 'behave':
      if (chosen) driver.behave(chosen)
      return
    case 'crash':
      if (chosen) driver.exit(chosen, 9)
      return
    case 'beat':
      if (chosen) driver.beat(chosen, chosen.role === 'consumers' ? { connected: action.connected } : { requests: action.requests })
      return
    case 'prepared':
      return driver.prepared(action.error ? 'the address is taken' : undefined)
    case 'pass':
      return driver.pass(action.ms)
    case 'sleep':
      return driver.sleep(action.ms)
    case 'signal':
      return driver.signal(action.signal)
    case 'successor':
      return driver.tell({ type: 'successor', ...(action.is === 'gone' ? { is: 'gone', how: 'ended' } : { is: 'ready' }) })
    case 'request':
      return void driver.request(action.request)
    case 'edit':
      driver.file = action.broken ? undefined : edited(action)
  }
}

function edited({
  port = 8000,
  workers,
  instances,
  hooks,
}: {
  port?: number
  workers: number
  instances: number
  hooks: boolean
}): ReturnType<typeof config> {
  const base = config()
  const video = base.consumers['video']
  if (!base.web || !video) throw new Error('the base config has both')
  return {
    ...base,
    hooks: hooks ? ['preFork', 'childExit', 'nworkersChanged', 'onExit'] : [],
    web: { ...base.web, bind: [`127.0.0.1:${port}`], workers, maxRequests: 10, maxLifetimeMs: 20_000 },
    consumers: instances === 0 ? {} : { video: { ...video, instances } },
    exec: { cron: { ...oldFirst, maxLifetimeMs: 15_000 } },
    preStart: hooks ? [{ ...command, onReload: true, timeoutMs: 0 }] : [],
  }
}

/** Web workers that take requests. */
function serving(driver: Driver): number {
  return [...driver.children.values()].filter((child) => child.role === 'web' && child.isReady && !child.killed && !isAsked(child)).length
}

/** Labels with two processes, neither of which was asked to go. */
function twinsOf(driver: Driver): string[] {
  const labels = [...driver.children.values()].filter((child) => !child.killed && !isAsked(child)).map(({ label }) => label)
  return labels.filter((label, index) => labels.indexOf(label) !== index)
}

const isAsked = (child: FakeChild): boolean => child.heard.some(({ type }) => type === 'stop')

/** Steps in which somebody dies, or is killed for its silence, or an operator asks for fewer: only then may the last web worker go. */
function mayLoseWorkers(driver: Driver, action: Step): boolean {
  if (action.type === 'crash' || action.type === 'pass' || driver.isOverdue) return true
  if (action.type === 'signal') return action.signal === 'SIGTTOU' || action.signal === 'SIGWINCH'
  if (action.type === 'request') return action.request.verb === 'scale'
  return action.type === 'behave' && [...driver.children.values()].some(({ killed }) => killed)
}

test('every place is kept, no two reloads run at once, and a stop always ends', () => {
  fc.assert(
    fc.property(
      fc.array(disturbing, { maxLength: 150, size: 'max' }),
      fc.constantFrom<MasterSignal>('SIGTERM', 'SIGINT'),
      fc.boolean(),
      fc.boolean(),
      (steps, ending, behaved, begun) => {
        const driver = begun ? running(edited({ workers: 1, instances: 1, hooks: true })) : new Driver()
        for (const action of steps) {
          const before = mayLoseWorkers(driver, action) ? 0 : serving(driver)
          step(driver, action)
          if (before > 0 && serving(driver) === 0 && driver.mind.status().phase === 'running')
            throw new Error('the last web worker was stopped')
          const { units, reloading } = driver.mind.status()
          const labels = units.map(({ label }) => label)
          if (new Set(labels).size !== labels.length) throw new Error(`twice: ${labels.join(', ')}`)
          // One process is being read from at a time, so there is one reload at most.
          const loading = [...driver.children.values()].filter(
            ({ role, heard, killed }) => role === 'config' && heard.length === 1 && !killed,
          )
          if (loading.length > 2) throw new Error(`${loading.length} config children at once`)
          const twins = twinsOf(driver)
          // One that SIGKILL does not end is given up by the master, and so nobody's twin.
          const crons = [...driver.children.values()].filter(({ label, killed }) => label.startsWith('cron.') && !killed)
          if (new Set(crons.map(({ label }) => label)).size !== crons.length) throw new Error('two of what may not overlap')
          if (!reloading && twins.length > 1) throw new Error(`replaced at once: ${twins.join(', ')}`)
          const due = driver.mind.nextDeadline()
          if (due !== undefined && Number.isNaN(due)) throw new Error('no time for the next tick')
          if (driver.exitCode !== undefined) return
        }
        driver.signal(ending)
        // Nobody is left to answer where it has ended at once.
        const asked = driver.exitCode === undefined ? driver.request({ verb: 'stop' }) : 0
        if (behaved) driver.settle()
        // Far beyond the budget and the wait for what SIGKILL does not end.
        driver.pass(120_000)
        if (driver.exitCode === undefined)
          throw new Error(`still ${driver.mind.status().phase}: ${[...driver.children.values()].map(({ label }) => label).join(', ')}`)
        for (let id = 1; id <= asked; id++) if (!driver.replies.has(id)) throw new Error(`no reply to request ${id} of ${asked}`)
        if (behaved && [...driver.children.values()].some(({ killed }) => !killed)) throw new Error('it left processes behind')
      },
    ),
    { numRuns: 500 },
  )
})

test('left in peace with a config that works, it always gets ready again', () => {
  fc.assert(
    fc.property(fc.array(disturbing, { maxLength: 80, size: 'max' }), (steps) => {
      const driver = new Driver(config({ onPermanentFailure: 'degrade' }))
      for (const action of steps) {
        step(driver, action)
        if (driver.exitCode !== undefined) return
      }
      driver.file = config({ onPermanentFailure: 'degrade' })
      // Workers that rest for a second master take their work back when it has gone.
      driver.tell({ type: 'successor', is: 'gone', how: 'ended' })
      const calm = (rounds: number): void => {
        for (let round = 0; round < rounds && driver.exitCode === undefined; round++) {
          driver.prepared()
          driver.settle()
          for (const child of driver.children.values()) driver.beat(child)
          driver.pass(500)
        }
      }
      calm(200)
      // The unit that was given up, and whatever the last edit left, are mended by a reload.
      driver.signal('SIGHUP')
      calm(400)
      if (driver.exitCode !== undefined) return
      const { ready, degraded, reasons, reloading } = driver.mind.status()
      if (!ready || degraded || reloading)
        throw new Error(`not ready: ${reasons.join(', ')}; reloading ${reloading}\n${driver.logs.slice(-10).join('\n')}`)
      const expected = 6
      if (driver.children.size !== expected) throw new Error(`${driver.children.size} processes, expected ${expected}`)
    }),
    { numRuns: 150 },
  )
})
