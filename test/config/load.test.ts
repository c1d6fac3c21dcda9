import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { root } from './house.ts'

const load = (name: string, source: string): ReturnType<typeof loadConfig> => {
  writeFileSync(join(root, name), source)
  return loadConfig({ file: name, root, env: {} })
}

test('an object, a promise or a function that returns either; in TypeScript or JavaScript', async () => {
  const text = '{ web: { entry: "./web.ts", workers: 4 } }'
  for (const [name, source] of [
    ['a.config.ts', `const config: object = ${text}\nexport default config`],
    ['b.config.mjs', `export default Promise.resolve(${text})`],
    ['c.config.js', `export default () => (${text})`],
    ['d.config.mts', `export default async () => (${text})`],
  ] as const) {
    expect((await load(name, source)).config.web?.workers, name).toBe(4)
  }
})

test('hooks are named in the config, and kept as they are', async () => {
  const { config, hooks } = await load('hooks.config.ts', 'export default { hooks: { postFork() {}, onExit() { return "gone" } } }')
  expect(config.hooks).toEqual(['onExit'])
  expect(config.workerHooks).toEqual(['postFork'])
  expect(hooks.onExit?.({ config, reason: 'stop' })).toBe('gone')
})

test('what it throws is told with its place and without secrets', async () => {
  const failing = load('bad.config.ts', 'export {}\nthrow new Error("amqp://u:canary@h is down")')
  await expect(failing).rejects.toThrow(/bad\.config\.ts cannot be used:\s+the file: .*Error: amqp:\/\/u:\*\*\*@h is down/)
  await expect(load('bad2.config.ts', 'export default () => { throw "no" }')).rejects.toThrow(/a function that returns a config, got no/)
  await expect(loadConfig({ file: 'none.config.ts', root })).rejects.toThrow(/an existing file/)
})
