import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { waitFor } from '../support/wait.ts'
import { fixture, startChild, type Child } from './child.ts'

function load(name: string): Child {
  const file = fixture(`hooks/${name}.config.ts`)
  const child = startChild('config')
  child.send({ type: 'load', file, root: dirname(file), overrides: {} })
  return child
}

async function startHooks(name: string): Promise<Child> {
  const child = load(name)
  const { config } = await child.message('loaded')
  child.send({ type: 'start', unit: 'hooks', config })
  return child
}

test('the config is loaded as plain data, and without "start" no hook runs', async () => {
  await using child = load('in-order')
  const { config } = await child.message('loaded')
  expect(config.hooks).toEqual(['onStarting', 'onExit'])
  expect(await child.stop()).toEqual({ code: 0, signal: null })
  expect(child.output()).not.toContain('on')
})

test('hooks run in order, with the config, the bus URL and the reason', async () => {
  await using child = await startHooks('in-order')
  await child.message('ready')
  expect(child.output()).toContain(`onStarting begins in ${dirname(fixture('hooks/x'))} with omnibus:`)
  expect(child.output()).toContain('onStarting returned')
  expect(child.output()).not.toContain('onExit')
  expect(await child.stop({ reason: 'reload' })).toEqual({ code: 0, signal: null })
  expect(child.output()).toMatch(/onStarting returned\nonExit begins for reload\nonExit returned/)
})

test('a stop in the middle of onStarting waits for it, then runs onExit', async () => {
  await using child = await startHooks('in-order')
  await waitFor(() => child.output().includes('onStarting begins'), { what: 'onStarting' })
  expect(await child.stop()).toEqual({ code: 0, signal: null })
  expect(child.output()).toMatch(/onStarting returned\nonExit begins for stop\nonExit returned/)
})

test('an onStarting that throws is a failure, not of the configuration', async () => {
  await using child = await startHooks('failing')
  expect(await child.message('failed')).toMatchObject({ message: expect.stringContaining('onStarting failed on purpose'), config: false })
  expect(await child.exit()).toEqual({ code: 70, signal: null })
  expect(child.output()).toContain('failing.config.ts:')
})

test('an onStarting that does not return is given up after hookTimeoutMs', async () => {
  await using child = await startHooks('endless')
  expect((await child.message('failed')).message).toMatch(/onStarting did not return within 200 ms \(hookTimeoutMs\)/)
  expect(await child.exit()).toEqual({ code: 70, signal: null })
})

test('an onExit that throws is told, and the child stops all the same', async () => {
  await using child = await startHooks('failing-exit')
  await child.message('ready')
  expect(await child.stop()).toEqual({ code: 0, signal: null })
  expect(child.output()).toMatch(/"level":50.*onExit failed on purpose/)
})

test('an onExit that does not return is cut off by the deadline', async () => {
  await using child = await startHooks('endless-exit')
  await child.message('ready')
  expect(await child.stop({ deadlineMs: 1_000 })).toEqual({ code: 75, signal: null })
  expect(child.output()).toMatch(/cut off: hooks.onExit did not return/)
})

test('a config file with a wrong key is refused with what is wrong', async () => {
  await using child = load('wrong')
  expect(await child.message('failed')).toMatchObject({ message: expect.stringMatching(/wbe.*did you mean "web"/), config: true })
  expect(await child.exit()).toEqual({ code: 78, signal: null })
})
