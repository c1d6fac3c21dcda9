import { expect, test } from 'vitest'
import { resolveConfig } from '../../../src/config/resolve.ts'
import { config, Driver, running, states } from './driver.ts'

test('waits for each stage before the next', () => {
  const driver = new Driver()
  driver.settle()
  expect(driver.commands.some(({ type }) => type === 'prepare')).toBe(true)
  expect([...driver.children.values()].map(({ label }) => label)).toEqual(['config'])
  driver.prepared()
  expect(driver.labelled('broker')).toHaveLength(1)
  expect(driver.child('config').heard.map(({ type }) => type)).toEqual(['load'])
  driver.behave(driver.child('broker'))
  // The child that read the config becomes the hook host.
  expect(driver.child('config').heard.map(({ type }) => type)).toEqual(['load', 'start'])
  expect(driver.labelled('video.1')).toHaveLength(0)
  driver.behave(driver.child('config'))
  driver.behave(driver.child('video.1'))
  expect(driver.child('video.1').heard.map(({ type }) => type)).toEqual(['start', 'activate'])
  expect(driver.labelled('web.1')).toHaveLength(0)
  driver.behave(driver.child('video.2'))
  driver.settle()
  expect(driver.mind.status().ready).toBe(true)
  expect(driver.logs.at(-1)).toBe('Listening on http://127.0.0.1:8000')
})

test('has what others use up before them, and stops it after them', () => {
  const { forward, gateway, exec } = resolveConfig(
    {
      forward: { orders: { queue: 'orders', to: 'http://127.0.0.1:5000/' } },
      gateway: { listen: '127.0.0.1:8081' },
      exec: { app: { command: [process.execPath] } },
    },
    { root: '/' },
  )
  const driver = running(config({ hooks: [], consumers: {}, forward, exec, ...(gateway && { gateway }) }))
  const order = ['broker', 'gateway', 'app.1', 'web.1', 'web.2', 'orders.1']
  expect([...driver.children.values()].map(({ label }) => label)).toEqual(order)
  expect(driver.child('orders.1').heard.map(({ type }) => type)).toEqual(['start', 'activate'])
  driver.signal('SIGTERM')
  const told = (): string[] => [...driver.children.values()].filter(({ heard }) => heard.at(-1)?.type === 'stop').map(({ label }) => label)
  for (const stage of [['orders.1'], ['web.1', 'web.2'], ['app.1'], ['gateway'], ['broker']]) {
    expect(told()).toEqual(stage)
    for (const label of stage) driver.exit(driver.child(label))
  }
  expect(driver.exitCode).toBe(0)
})

test('goes on without a consumer whose broker stays away, and does not kill it', () => {
  const driver = new Driver(config({ hooks: [], bus: { urls: ['amqp://h'], builtin: false, data: '/' } }))
  driver.behave(driver.child('config'))
  driver.prepared()
  driver.behave(driver.child('video.1'))
  const away = driver.child('video.2')
  driver.beat(away, { connected: false })
  expect(driver.labelled('web.1')).toHaveLength(0)
  const beats = (seconds: number): void => {
    for (let i = 0; i < seconds; i++) {
      driver.pass(1_000)
      for (const child of driver.children.values()) driver.beat(child, child === away ? { connected: false } : {})
    }
  }
  beats(3)
  driver.behave(driver.child('web.1'))
  driver.behave(driver.child('web.2'))
  // Far beyond its startTimeoutMs.
  beats(60)
  expect(driver.child('video.2')).toBe(away)
  expect(driver.mind.status()).toMatchObject({ phase: 'running', ready: true, degraded: true, reasons: ['video.2 is connecting'] })
})

test('a config child that never answers is killed, and the code is 78', () => {
  const driver = new Driver()
  driver.pass(30_000)
  driver.settle()
  expect(driver.exitCode).toBe(78)
  expect(driver.logs.join('\n')).toContain('did not finish loading after 30 s')
})

test('what cannot be bound ends it with 78', () => {
  const driver = new Driver()
  driver.settle()
  driver.tell({ type: 'unprepared', message: 'no port' })
  driver.settle()
  expect(driver.exitCode).toBe(78)
  expect(driver.logs).toContain('no port')
})

test('without hooks the config child is asked to go, and no hook host is there', () => {
  const driver = running(config({ hooks: [] }))
  expect(Object.keys(states(driver))).toEqual(['broker', 'video.1', 'video.2', 'web.1', 'web.2'])
  expect(driver.labelled('config')).toHaveLength(0)
})

test('a broker whose store is refused ends it at once with 78', () => {
  const driver = new Driver(config({ onPermanentFailure: 'degrade' }))
  driver.settle()
  driver.prepared()
  const broker = driver.child('broker')
  driver.tell({ type: 'message', child: broker.id, message: { type: 'failed', message: 'the store is of another version', config: true } })
  driver.exit(broker, 78)
  driver.settle()
  expect(driver.exitCode).toBe(78)
  expect(driver.labelled('broker')).toHaveLength(0)
})
