/** `omnibus dev`: a change of a file is live in what has loaded it, and nowhere else. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { omnibus } from '../support/omnibus.ts'
import { waitFor } from '../support/wait.ts'
import { type House, openHouse } from './house.ts'
import { config, files, handler, links, value } from './program.ts'

let house: House
/** From the change to the first new answer. Milliseconds; for people, since a busy machine has no say in whether it works. */
const live: string[] = []

beforeAll(async () => {
  house = await openHouse(files, links)
  await house.said('Listening on')
  await house.said('thread of the hook first')
})
afterAll(async () => {
  process.stdout.write(`\nlive after: ${live.join(', ')}\n`)
  await house[Symbol.asyncDispose]()
})
beforeEach(() => house.since())

const measured = async (what: string, isLive: Promise<unknown>): Promise<void> => {
  const begun = performance.now()
  await isLive
  live.push(`${what} ${Math.round(performance.now() - begun)} ms`)
}

const ofWeb: readonly (readonly [what: string, file: string, text: string, path: string, answer: string])[] = [
  ['a handler', 'handler.ts', `export const handle = () => 'second'\n`, '/handler', 'second'],
  ['a deep import', 'deep/value.ts', value('second'), '/deep', 'second'],
  ['a dynamic import', 'lazy.ts', value('second'), '/lazy', 'second'],
  ['what CommonJS requires', 'plain.cjs', `exports.value = 'second'\n`, '/common', 'the second'],
  ['JSON', 'data.json', '{ "value": "a " }\n', '/common', 'a second'],
  ['what a link leads to', 'target.ts', value('second'), '/linked', 'second'],
]
test.each(ofWeb)('web: %s', async (what, file, text, path, answer) => {
  // Loaded, where it is not yet.
  await house.ask(path)
  house.write(file, text)
  await measured(what, house.answers(path, answer))
  await house.said(/Reloaded web in \d+ ms/)
  // Nobody else has loaded it.
  expect(house.heard().filter((line) => /Reloaded (?!web )|Reloading|pool has|onStarting/.test(line))).toEqual([])
})

test('web: a link that leads elsewhere', async () => {
  house.link('linked.ts', 'other.ts')
  await house.answers('/linked', 'other')
})

test('web: a file that takes the name of another, as editors write', async () => {
  house.writeByRename('handler.ts', `export const handle = () => 'renamed'\n`)
  await house.answers('/handler', 'renamed')
})

test('web: many edits one after the other end with the last', async () => {
  for (let edit = 1; edit <= 25; edit++) {
    house.write('handler.ts', `export const handle = () => 'edit ${edit}'\n`)
    await new Promise((resolve) => setTimeout(resolve, edit * 3))
  }
  await house.answers('/handler', 'edit 25')
})

test('web: a folder that is removed and comes back', async () => {
  house.remove('deep')
  await house.said(/Reload refused, everything goes on as before: config does not load \(hooks\/start\.ts:3\)/)
  for (const name of ['deep/hook.ts', 'deep/hook-value.ts', 'deep/of-thread.ts', 'deep/in-pool.ts', 'deep/import.ts'] as const) {
    house.write(name, files[name])
  }
  house.write('deep/value.ts', value('back'))
  await house.answers('/deep', 'back')
  await house.said(/Reloaded in/)
})

test('a consumer: its handler, and what it alone imports', async () => {
  house.write('mail.ts', handler('second'))
  const heard = async (line: string): Promise<void> => {
    const isHeard = async (): Promise<boolean> => {
      await house.ask('/publish')
      return house.heard().some((said) => said.includes(line))
    }
    await waitFor(isHeard, { what: line })
  }
  await measured('a consumer', heard('mail second hello'))
  house.write('greeting.ts', `export const greeting = 'good day'\n`)
  await heard('mail second good day')
  await house.said(/Reloaded mail in/)
  expect(house.heard().filter((line) => /Reloaded (?!mail )|Reloading|pool has|onStarting/.test(line))).toEqual([])
})

test('consumers in threads: what they import', async () => {
  house.write('deep/in-pool.ts', value('second'))
  await house.said('pool has second')
  await house.said(/Reloaded pool in/)
  expect(house.heard().filter((line) => /Reloaded (?!pool )|Reloading|onStarting/.test(line))).toEqual([])
})

test('what several share: all of them', async () => {
  house.write('contracts.ts', `${files['contracts.ts']}\n// changed\n`)
  await house.said(/Reloaded mail, pool, web in/)
})

test('modules imported by the config and its hooks are reloaded when they change, however deep, in threads that a hook started too', async () => {
  house.write('deep/hook-value.ts', value('second'))
  await measured('a hook', house.said('onStarting second'))
  await house.said(/Reloaded in/)
  house.since()
  house.write('deep/of-thread.ts', value('second'))
  await house.said('thread of the hook second')
  await house.said(/Reloaded in/)
})

test('the config itself', async () => {
  house.write('omnibus.config.ts', config(2))
  await house.said(/Reloaded in/)
  await using status = omnibus(['status', '--watch'], { cwd: house.folder })
  await status.line(/web\.2 +ready/)
})

test('the file of the environment', async () => {
  house.write('.env', 'GREETING=second\n')
  await house.answers('/env', 'second')
  await house.said(/Reloaded in/)
})

test('a file that is written anew as it was is no change', async () => {
  house.write('handler.ts', `export const handle = () => 'edit 25'\n`)
  house.write('deep/value.ts', value('third'))
  await house.said('Changed: deep/value.ts')
  expect(house.heard().join('\n')).not.toContain('handler.ts')
  await house.said('Reloaded web')
})

test('it stops as serve does, and leaves nothing', async () => {
  house.dev.signal('SIGTERM')
  expect(await house.dev.exit()).toEqual({ code: 0, signal: null })
  expect(house.dev.processes()).toEqual([])
})
