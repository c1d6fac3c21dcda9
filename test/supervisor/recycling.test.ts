/** Processes that have reached a limit, without processes. */
import { expect, test } from 'vitest'
import { config, type Driver, running } from './mind/driver.ts'

const limited = (limits: { maxRequests?: number; maxLifetimeMs?: number; maxMemoryMb?: number }): ReturnType<typeof config> => {
  const base = config()
  const web = base.web ?? expect.fail()
  return { ...base, web: { ...web, ...limits } }
}
const isAsked = (driver: Driver, label: string): boolean => driver.labelled(label).some(({ heard }) => heard.at(-1)?.type === 'stop')

test.each([
  ['requests', { maxRequests: 100 }, { requests: 99 }, { requests: 100 }, /web\.1 has had 100 requests and is replaced/],
  ['memory', { maxMemoryMb: 80 }, { memoryMb: 80 }, { memoryMb: 81 }, /web\.1 uses 81 MiB of memory and is replaced/],
])('%s: the new one is ready before the old one drains', (_, limits, below, beyond, said) => {
  const driver = running(limited(limits))
  driver.beat(driver.child('web.1'), below)
  expect(driver.labelled('web.1')).toHaveLength(1)
  driver.beat(driver.child('web.1'), beyond)
  expect(driver.logs.join('\n')).toMatch(said)
  expect(driver.labelled('web.1')).toHaveLength(2)
  expect(isAsked(driver, 'web.1')).toBe(false)
  driver.behave(driver.child('web.1'))
  expect(isAsked(driver, 'web.1')).toBe(true)
  driver.settle()
  expect(driver.mind.status()).toMatchObject({ ready: true, generation: 0 })
  expect(driver.mind.status().units.filter(({ restarts }) => restarts > 0)).toEqual([])
})

test('never two at once, however many are due', () => {
  const driver = running(limited({ maxRequests: 10 }))
  for (const label of ['web.1', 'web.2']) driver.beat(driver.child(label), { requests: 10 })
  expect(driver.labelled('web.2')).toHaveLength(1)
  const [old] = driver.labelled('web.1')
  driver.behave(driver.child('web.1'))
  // The old one drains still.
  expect(driver.labelled('web.2')).toHaveLength(1)
  if (old) driver.behave(old)
  expect(driver.labelled('web.2')).toHaveLength(2)
})

test('a lifetime is over once, and begins again', () => {
  const driver = running(limited({ maxLifetimeMs: 60_000 }))
  const beats = (seconds: number): void => {
    for (let i = 0; i < seconds; i++) {
      driver.pass(1_000)
      for (const child of driver.children.values()) driver.beat(child)
      driver.settle()
    }
  }
  beats(58)
  expect(driver.logs.join('\n')).not.toContain('has lived')
  beats(4)
  expect(driver.logs.filter((line) => /^web\.[12] has lived for 60 s and is replaced$/.test(line))).toHaveLength(2)
  beats(50)
  expect(driver.logs.filter((line) => line.includes('has lived'))).toHaveLength(2)
  beats(12)
  expect(driver.logs.filter((line) => line.includes('has lived'))).toHaveLength(4)
})

test('a successor that does not start leaves the old one at work, and is tried again, ever later', () => {
  const driver = running(limited({ maxRequests: 10 }))
  const old = driver.child('web.1')
  driver.beat(old, { requests: 10 })
  for (const waitMs of [100, 200, 1_000, 1_000]) {
    expect(driver.labelled('web.1')).toHaveLength(2)
    driver.exit(driver.child('web.1'), 3)
    expect(driver.mind.status().ready).toBe(true)
    driver.pass(waitMs - 1)
    expect(driver.labelled('web.1')).toEqual([old])
    driver.pass(1)
  }
  driver.settle()
  expect(driver.labelled('web.1')).not.toContain(old)
})

test('frozen after a refused reload, until one succeeds', () => {
  const driver = running(limited({ maxRequests: 10 }))
  const { file } = driver
  driver.file = undefined
  driver.signal('SIGHUP')
  driver.settle()
  driver.beat(driver.child('web.2'), { requests: 11 })
  driver.settle()
  expect(driver.labelled('web.2')).toHaveLength(1)
  expect(driver.mind.status().units.find(({ label }) => label === 'web.2')).toMatchObject({ spent: 'has had 11 requests', state: 'ready' })
  driver.file = file
  driver.signal('SIGHUP')
  driver.settle()
  expect(driver.mind.status().units.filter(({ spent }) => spent !== undefined)).toEqual([])
})
