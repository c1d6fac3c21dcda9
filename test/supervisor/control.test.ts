/** What the master makes of requests, without processes. */
import { describe, expect, test } from 'vitest'
import { readRequest } from '../../src/supervisor/control-protocol.ts'
import { config, type Driver, running } from './mind/driver.ts'

const labels = (driver: Driver): string[] => driver.mind.status().units.map(({ label }) => label)
const isAsked = (driver: Driver, label: string): boolean => driver.labelled(label).some(({ heard }) => heard.at(-1)?.type === 'stop')

describe('reload', () => {
  test('is answered when the last old process is gone', () => {
    const driver = running()
    const id = driver.request({ verb: 'reload' })
    driver.behave(driver.child('config'))
    expect(driver.replies.get(id)).toBeUndefined()
    driver.settle()
    expect(driver.replies.get(id)).toEqual({ ok: true, message: 'Reloaded' })
  })

  test('refused says why, and freezes what would start new processes', () => {
    const driver = running()
    driver.file = undefined
    const id = driver.request({ verb: 'reload' })
    driver.settle()
    expect(driver.replies.get(id)).toMatchObject({ ok: false, error: expect.stringMatching(/Reload refused.*the file is broken/) })
    for (const request of [{ verb: 'restart', unit: 'web' } as const, { verb: 'scale', unit: 'web', size: 3 } as const]) {
      expect(driver.replies.get(driver.request(request))).toMatchObject({ ok: false, error: expect.stringContaining('was refused') })
    }
  })

  test('asked for in another one is answered after its own', () => {
    const driver = running()
    const first = driver.request({ verb: 'reload' })
    const second = driver.request({ verb: 'reload' })
    while (!driver.replies.has(first)) for (const child of driver.children.values()) driver.behave(child)
    expect(driver.replies.has(second)).toBe(false)
    driver.settle()
    expect(driver.replies.get(second)).toMatchObject({ ok: true })
    expect(driver.mind.status().generation).toBe(2)
  })

  test('puts the place right of one that crashes while its successor starts', () => {
    const driver = running()
    driver.signal('SIGHUP')
    while (driver.labelled('web.2').length < 2)
      for (const child of driver.children.values()) if (child.label !== 'web.2') driver.behave(child)
    driver.exit(driver.labelled('web.2')[0] ?? expect.fail(), 9)
    driver.settle()
    expect(driver.mind.status()).toMatchObject({ ready: true, reloading: false, generation: 1 })
  })
})

describe('restart', () => {
  test('replaces one after the other, each new one ready before the old one is asked to go', () => {
    const driver = running()
    const id = driver.request({ verb: 'restart', unit: 'web' })
    expect(driver.labelled('web.1')).toHaveLength(2)
    expect(isAsked(driver, 'web.1')).toBe(false)
    expect(
      driver.mind
        .status()
        .units.filter(({ replacing }) => replacing)
        .map(({ label }) => label),
    ).toEqual(['web.1'])
    const [old] = driver.labelled('web.1')
    driver.behave(driver.child('web.1'))
    expect(isAsked(driver, 'web.1')).toBe(true)
    // The old one may take its time, and nobody else goes meanwhile.
    expect(driver.labelled('web.2')).toHaveLength(1)
    if (old) driver.behave(old)
    expect(driver.labelled('web.2')).toHaveLength(2)
    expect(driver.replies.has(id)).toBe(false)
    driver.settle()
    expect(driver.replies.get(id)).toEqual({ ok: true, message: 'Replaced: web.1, web.2' })
    expect(driver.mind.status()).toMatchObject({ ready: true, generation: 0 })
  })

  test('ends at the first successor that does not start, and the old one goes on', () => {
    const driver = running()
    const old = driver.child('video.1')
    const id = driver.request({ verb: 'restart', unit: 'video' })
    driver.exit(driver.child('video.1'), 3)
    expect(driver.replies.get(id)).toEqual({ ok: false, error: 'video.1 (new) ended with code 3; the old one goes on' })
    driver.settle()
    expect(driver.child('video.1')).toBe(old)
    expect(driver.mind.status().ready).toBe(true)
  })

  test('of a consumer subscribes the new one, and of the hook host loads the config in force', () => {
    const driver = running()
    driver.request({ verb: 'restart', unit: 'video.2' })
    driver.request({ verb: 'restart', unit: 'hooks' })
    driver.settle()
    expect(driver.child('video.2').heard.map(({ type }) => type)).toEqual(['start', 'activate'])
    expect(driver.child('hooks').heard.map(({ type }) => type)).toEqual(['load', 'start'])
    expect([...driver.replies.values()].map(({ ok }) => ok)).toEqual([true, true])
  })

  test('gives a unit that was given up another chance', () => {
    const driver = running(config({ onPermanentFailure: 'degrade' }))
    for (let crash = 0; crash < 3; crash++) {
      driver.exit(driver.child('web.1'), 9)
      driver.pass(1_000)
    }
    expect(driver.mind.status().reasons).toEqual(['web.1 is failed'])
    const id = driver.request({ verb: 'restart', unit: 'web.1' })
    driver.settle()
    expect(driver.replies.get(id)).toMatchObject({ ok: true })
    expect(driver.mind.status().ready).toBe(true)
  })

  test('that a reload overtakes is done by it', () => {
    const driver = running()
    const id = driver.request({ verb: 'restart', unit: 'web' })
    driver.signal('SIGHUP')
    driver.settle()
    expect(driver.replies.get(id)).toMatchObject({ ok: true })
    expect(driver.labelled('web.1')).toHaveLength(1)
  })

  test.each([
    ['broker', /never changes hands/],
    [
      'audio',
      /there is no unit "audio"; there are broker, hooks, video, web, hooks|there is no unit "audio"; there are broker, hooks, video, web/,
    ],
  ])('of %s is refused', (unit, error) => {
    const driver = running()
    expect(driver.replies.get(driver.request({ verb: 'restart', unit }))).toMatchObject({ ok: false, error: expect.stringMatching(error) })
  })
})

describe('scale', () => {
  test('adds and takes away consumers', () => {
    const driver = running()
    expect(driver.replies.get(driver.request({ verb: 'scale', unit: 'video', size: 4 }))).toMatchObject({ ok: true })
    driver.settle()
    expect(labels(driver).filter((label) => label.startsWith('video'))).toEqual(['video.1', 'video.2', 'video.3', 'video.4'])
    driver.request({ verb: 'scale', unit: 'video', size: 1 })
    driver.settle()
    expect(labels(driver).filter((label) => label.startsWith('video'))).toEqual(['video.1'])
    expect(driver.labelled('video.2')).toEqual([])
  })

  test('takes the successor away with the place', () => {
    const driver = running()
    driver.request({ verb: 'restart', unit: 'web.2' })
    driver.request({ verb: 'scale', unit: 'web', size: 1 })
    driver.settle()
    expect(driver.labelled('web.2')).toEqual([])
    expect([...driver.replies.values()].map(({ ok }) => ok)).toEqual([true, true])
  })

  test.each(['web', 'video'])('of %s with threads brings a new host with as many, before the old one goes', (unit) => {
    const base = config()
    const [web, video] = [base.web ?? expect.fail(), base.consumers['video'] ?? expect.fail()]
    const driver = running({ ...base, web: { ...web, kind: 'thread' }, consumers: { video: { ...video, kind: 'thread' } } })
    const old = driver.child(`${unit}.1`)
    driver.request({ verb: 'scale', unit, size: 3 })
    // It has the number before, and makes way for one with the last.
    const overtaken = driver.child(`${unit}.1`)
    driver.request({ verb: 'scale', unit, size: 5 })
    driver.behave(overtaken)
    const next = driver.child(`${unit}.1`)
    expect(old.heard.map(({ type }) => type)).not.toContain('stop')
    driver.settle()
    expect(driver.labelled(`${unit}.1`)).toEqual([next])
    const [start] = next.heard
    const started = start?.type === 'start' ? start.config : undefined
    expect(unit === 'web' ? started?.web?.workers : started?.consumers['video']?.instances).toBe(5)
    expect(driver.mind.status().ready).toBe(true)
  })

  test.each([
    ['web', 0, /one is the least/],
    ['web', 2000, /1024 is the most/],
    ['hooks', 2, /hooks is always one/],
  ])('of %s to %d is refused', (unit, size, error) => {
    const driver = running()
    expect(driver.replies.get(driver.request({ verb: 'scale', unit, size }))).toMatchObject({
      ok: false,
      error: expect.stringMatching(error),
    })
  })
})

test('stop is answered last, with the exit code; whoever waits for something else is told', () => {
  const driver = running()
  const restart = driver.request({ verb: 'restart', unit: 'web' })
  const stops = [driver.request({ verb: 'stop' }), driver.request({ verb: 'stop' })]
  expect(driver.replies.get(restart)).toEqual({ ok: false, error: 'the master stops' })
  driver.settle()
  for (const id of stops) expect(driver.replies.get(id)).toEqual({ ok: true, message: 'Stopped', code: 0 })
  expect(driver.exitCode).toBe(0)
})

test.each(['', 'status', '[]', '{"verb":"halt"}', '{"verb":"restart"}', '{"verb":"scale","unit":"web","size":"2"}'])(
  '%j is no request',
  (line) => {
    expect(() => readRequest(line)).toThrow(/expected/)
  },
)
