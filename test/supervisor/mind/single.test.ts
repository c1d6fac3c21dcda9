/** A consumer of queues that take one consumer at a time. */
import { expect, test } from 'vitest'
import { config, type Driver, running } from './driver.ts'

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
