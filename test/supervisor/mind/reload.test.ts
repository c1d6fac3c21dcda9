import { expect, test } from 'vitest'
import { config, running } from './driver.ts'

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

test('a refused reload gives the addresses back that it had bound', () => {
  const driver = running()
  driver.file = config({ web: { ...config().web!, bind: ['127.0.0.1:9000'] } })
  driver.signal('SIGHUP')
  driver.behave(driver.child('config'))
  driver.prepared()
  driver.behave(driver.child('config'))
  driver.exit(driver.child('web.1'), 1)
  expect(driver.logs.at(-1)).toMatch(/^Reload refused/)
  expect(driver.commands.findLast(({ type }) => type === 'unbind')).toMatchObject({ except: { web: { bind: ['127.0.0.1:8000'] } } })
})

test('is over when nothing old is left, and says so then', () => {
  const driver = running()
  const old = new Set(driver.children.values())
  const asked = driver.request({ verb: 'reload' })
  for (let i = 0; i < 20; i++) for (const child of driver.children.values()) if (!old.has(child)) driver.behave(child)
  expect(driver.mind.status()).toMatchObject({ generation: 1, reloading: true })
  expect(driver.replies.has(asked)).toBe(false)
  driver.settle()
  expect(driver.replies.get(asked)).toMatchObject({ ok: true, message: 'Reloaded' })
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

test.each(['video.2', 'broker'])('%s, which was dead for good, gets another chance', (label) => {
  const driver = running(config({ onPermanentFailure: 'degrade' }))
  for (let crash = 0; crash < 3; crash++) {
    driver.exit(driver.child(label), 1)
    driver.pass(400)
  }
  expect(driver.mind.status().reasons).toEqual([`${label} is failed`])
  driver.signal('SIGHUP')
  driver.settle()
  expect(driver.mind.status()).toMatchObject({ ready: true, degraded: false })
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
