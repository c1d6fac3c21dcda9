import { expect, test } from 'vitest'
import { config, running, states } from './driver.ts'

test('waits double, and the third within the window is the last', () => {
  const driver = running()
  for (const delayMs of [100, 200]) {
    driver.exit(driver.child('web.1'), 1)
    expect(states(driver)['web.1']).toBe('restarting')
    driver.pass(delayMs - 1)
    expect(driver.labelled('web.1')).toHaveLength(0)
    driver.pass(1)
    expect(driver.labelled('web.1')).toHaveLength(1)
    driver.settle()
  }
  driver.exit(driver.child('web.1'), 1)
  expect(states(driver)['web.1']).toBe('failed')
  driver.settle()
  expect(driver.exitCode).toBe(69)
})

test('a wait that ends before anybody looks at the clock again is not forgotten', () => {
  const alone = { ...config().web!, workers: 1, heartbeatTimeoutMs: 0 }
  const driver = running(config({ hooks: [], consumers: {}, bus: { urls: ['amqp://h'], builtin: false, data: '/' }, web: alone }))
  driver.exit(driver.child('web.1'), 1)
  driver.sleep(150)
  expect(driver.mind.nextDeadline()).toBe(100)
  driver.pass(0)
  expect(driver.labelled('web.1')).toHaveLength(1)
})

test('crashes that lie further apart than the window never add up', () => {
  const driver = running()
  for (let i = 0; i < 10; i++) {
    driver.exit(driver.child('web.1'), 1)
    for (let beats = 0; beats < 7; beats++) {
      driver.pass(5_000)
      driver.settle()
      for (const child of driver.children.values()) driver.beat(child)
    }
  }
  expect(driver.exitCode).toBeUndefined()
})

test('an end whose successor is on the way already is no crash', () => {
  const driver = running()
  for (let crash = 0; crash < 2; crash++) {
    driver.exit(driver.child('web.2'), 1)
    driver.pass(400)
    driver.settle()
  }
  driver.request({ verb: 'restart', unit: 'web.2' })
  const [old] = driver.labelled('web.2')
  expect(driver.labelled('web.2')).toHaveLength(2)
  // A third within the window would be the last.
  driver.exit(old!, 1)
  driver.settle()
  expect(states(driver)['web.2']).toBe('ready')
})

test('a hook host that died is started again, and works with the config in force', () => {
  const driver = running()
  driver.file = config({ gracefulTimeoutMs: 1 })
  driver.exit(driver.child('config'), 1)
  driver.pass(100)
  driver.settle()
  const start = driver.child('hooks').heard.find(({ type }) => type === 'start')
  expect(start).toMatchObject({ config: { gracefulTimeoutMs: 10_000 } })
  expect(states(driver)['hooks']).toBe('ready')
})

test('silence is a hang; a master that was asleep does not take it for one', () => {
  const driver = running(config({ hooks: [], consumers: {}, bus: { urls: ['amqp://h'], builtin: false, data: '/' } }))
  driver.sleep(60_000)
  driver.tell({ type: 'tick' })
  expect([...driver.children.values()].some(({ killed }) => killed)).toBe(false)
  driver.pass(6_000)
  driver.beat(driver.child('web.1'))
  driver.pass(5_000)
  expect(driver.child('web.1').killed).toBe(false)
  expect(driver.child('web.2').killed).toBe(true)
  expect(driver.mind.status().reasons).toEqual(['web.2 is stopping'])
})

test('a process that even SIGKILL does not end is not waited for', () => {
  const driver = running(config({ hooks: [], consumers: {}, bus: { urls: ['amqp://h'], builtin: false, data: '/' } }))
  driver.pass(10_000)
  const stuck = driver.child('web.1')
  driver.pass(5_200)
  expect(driver.child('web.1')).not.toBe(stuck)
})
