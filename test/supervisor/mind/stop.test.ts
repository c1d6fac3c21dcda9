import { expect, test } from 'vitest'
import { Driver, running } from './driver.ts'

const stopOf = (driver: Driver, label: string): number | undefined => {
  const message = driver.child(label).heard.find(({ type }) => type === 'stop')
  return message?.type === 'stop' ? message.deadlineMs : undefined
}

test('shares the budget, and passes on what a stage did not use', () => {
  const driver = running()
  driver.signal('SIGTERM')
  // 10 s by weight: web 3, consumers 4, hooks 2, broker 1.
  expect(stopOf(driver, 'web.1')).toBe(3_000)
  driver.behave(driver.child('web.1'))
  driver.behave(driver.child('web.2'))
  expect(stopOf(driver, 'video.1')).toBe(Math.round((10_000 * 4) / 7))
  driver.pass(5_714)
  expect(driver.child('video.1').killed).toBe(true)
  driver.settle()
  expect(driver.exitCode).toBe(75)
  expect(driver.logs.at(-1)).toBe('Stopped, but cut off: video.1, video.2')
})

test('never takes longer than the budget and a moment, whoever hangs', () => {
  const driver = running()
  driver.signal('SIGTERM')
  // Nobody even dies of SIGKILL, for which each of the stages there are waits a second.
  driver.pass(14_000)
  expect([...driver.children.values()].every(({ killed }) => killed)).toBe(true)
  expect(driver.exitCode).toBe(75)
})

test('asked again, a graceful stop becomes a quick one, and asked once more it kills', () => {
  const driver = running()
  const stop = (): void => driver.signal('SIGTERM')
  stop()
  driver.pass(1_000)
  stop()
  expect(driver.logs.at(-1)).toBe('Asked again to stop: what is left has 2 s')
  expect(driver.child('web.1').killed).toBe(false)
  driver.pass(1_000)
  stop()
  expect(driver.child('web.1').killed).toBe(true)
  driver.settle()
  expect(driver.exitCode).toBe(75)
})

test('asked again, nobody gets more time than was left', () => {
  const driver = running()
  driver.signal('SIGTERM')
  // Of the 3 s of web, 100 ms are left; of the 2 s that are left now, it would have 600.
  driver.pass(2_900)
  driver.signal('SIGTERM')
  driver.pass(100)
  expect(driver.child('web.1').killed).toBe(true)
})

test('a stop before the config is read ends at once', () => {
  const driver = new Driver()
  driver.signal('SIGTERM')
  expect(driver.child('config').killed).toBe(true)
  driver.settle()
  expect(driver.exitCode).toBe(0)
})

test('a Ctrl-C that arrives twice under npm counts once', () => {
  const driver = running()
  driver.signal('SIGINT')
  driver.pass(10)
  driver.signal('SIGINT')
  expect(driver.child('web.1').killed).toBe(false)
  driver.pass(1_000)
  driver.signal('SIGINT')
  expect([...driver.children.values()].every(({ killed }) => killed)).toBe(true)
  driver.settle()
  expect(driver.exitCode).toBe(0)
})
