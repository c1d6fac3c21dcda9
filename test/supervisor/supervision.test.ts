/** The master's decisions, without processes. */
import { describe, expect, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { config, Driver, running } from './driver.ts'

const states = (driver: Driver): Record<string, string> =>
  Object.fromEntries(driver.mind.status().units.map(({ label, state }) => [label, state]))
const stopOf = (driver: Driver, label: string): number | undefined => {
  const message = driver.child(label).heard.find(({ type }) => type === 'stop')
  return message?.type === 'stop' ? message.deadlineMs : undefined
}

describe('start', () => {
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
    const told = (): string[] =>
      [...driver.children.values()].filter(({ heard }) => heard.at(-1)?.type === 'stop').map(({ label }) => label)
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

describe('crashes', () => {
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
})

describe('stop', () => {
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
})

describe('reload', () => {
  test('one canary that dies refuses the whole, and the hook host of the reload is asked to go', () => {
    const driver = running()
    const before = [...driver.children.keys()]
    driver.signal('SIGHUP')
    const fresh = driver.child('config')
    driver.behave(fresh)
    driver.behave(fresh)
    driver.exit(driver.child('web.1'), 1)
    driver.settle()
    expect([...driver.children.keys()]).toEqual(before)
    expect(fresh.heard.at(-1)).toMatchObject({ type: 'stop', reason: 'reload' })
    expect(driver.mind.status()).toMatchObject({ ready: true, generation: 0, lastReloadRefusal: { reason: 'web.1 ended with code 1' } })
  })

  test('an old worker that dies during a reload is replaced at once by one of the old config', () => {
    const driver = running()
    const old = driver.child('web.2')
    driver.signal('SIGHUP')
    driver.exit(old, 1)
    driver.pass(100)
    expect(driver.labelled('web.2')).toHaveLength(1)
    driver.settle()
    expect(driver.mind.status()).toMatchObject({ ready: true, generation: 1 })
  })

  test('half way, a place whose new process keeps dying keeps its old one', () => {
    const driver = running()
    const old = driver.child('web.2')
    driver.signal('SIGHUP')
    for (let deaths = 0; deaths < 3; deaths++) {
      for (let i = 0; i < 20; i++)
        for (const child of driver.children.values()) if (child === old || child.label !== 'web.2') driver.behave(child)
      driver.exit(driver.child('web.2'), 1)
      driver.pass(1_000)
      for (const child of driver.children.values()) driver.beat(child)
    }
    driver.settle()
    expect(driver.child('web.2')).toBe(old)
    expect(driver.mind.status()).toMatchObject({ ready: true, reloading: false, generation: 1 })
    expect(driver.logs.join('\n')).toContain('Reload stopped half way, web.2 not replaced: web.2 (new) ended with code 1')
  })

  test('a unit that was dead for good gets another chance', () => {
    const driver = running(config({ onPermanentFailure: 'degrade' }))
    for (let crash = 0; crash < 3; crash++) {
      driver.exit(driver.child('video.2'), 1)
      driver.pass(400)
    }
    expect(driver.mind.status()).toMatchObject({ ready: true, degraded: true, reasons: ['video.2 is failed'] })
    driver.signal('SIGHUP')
    driver.settle()
    expect(driver.mind.status().ready).toBe(true)
  })

  test('a stop during it ends the new ones too', () => {
    const driver = running()
    driver.signal('SIGHUP')
    driver.behave(driver.child('config'))
    driver.behave(driver.child('config'))
    driver.signal('SIGTERM')
    driver.settle()
    expect(driver.children.size).toBe(0)
    expect(driver.exitCode).toBe(0)
  })
})

describe('a consumer of queues that take one consumer at a time', () => {
  const alone = config({ hooks: [], consumers: { video: { ...config().consumers['video']!, instances: 1 } } })

  function reloaded(): Driver {
    const driver = running(alone)
    driver.beat(driver.child('video.1'), { single: true })
    driver.signal('SIGHUP')
    driver.behave(driver.child('config'))
    driver.behave(driver.child('config'))
    driver.beat(driver.child('video.1'), { single: true })
    return driver
  }
  const heard = (driver: Driver): string[] => driver.child('video.1').heard.map(({ type }) => type)

  test('begins when its predecessor has gone, not before', () => {
    const driver = reloaded()
    const [old] = driver.labelled('video.1')
    driver.behave(driver.child('video.1'))
    driver.behave(driver.child('web.1'))
    expect(old!.heard.at(-1)?.type).toBe('stop')
    expect(heard(driver)).toEqual(['start'])
    driver.exit(old!)
    expect(heard(driver)).toEqual(['start', 'activate'])
    driver.settle()
    expect(driver.mind.status()).toMatchObject({ ready: true, generation: 1 })
  })

  test('is not held back by one that crashed, nor, when it crashes itself, let in early', () => {
    const driver = reloaded()
    const [old] = driver.labelled('video.1')
    driver.behave(driver.child('video.1'))
    driver.behave(driver.child('web.1'))
    driver.exit(driver.child('video.1'), 9)
    driver.pass(1_000)
    driver.beat(driver.child('video.1'), { single: true })
    driver.behave(driver.child('video.1'))
    expect(driver.labelled('video.1')).toHaveLength(2)
    expect(heard(driver)).toEqual(['start'])
    driver.exit(old!, 9)
    expect(heard(driver)).toEqual(['start', 'activate'])
  })
})
