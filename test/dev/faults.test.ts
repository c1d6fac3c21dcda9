/** `omnibus dev` with code that does not load: what ran goes on, the error is shown with its source, and the next change mends it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { omnibus } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { waitFor } from '../support/wait.ts'
import { type House, openHouse } from './house.ts'

const CONFIG = `
import { value } from './of-config.ts'
export default {
  bus: { url: 'amqp://127.0.0.1:1/' },
  web: { entry: './web.ts' },
  hooks: { onStarting() { console.log('hook', value) } },
}
`
const WEB = `
import { text } from './text.ts'
export default (request, response) => response.end(text)
`
const files = {
  'omnibus.config.ts': CONFIG,
  'of-config.ts': `export const value = 'one'\n`,
  'web.ts': WEB,
  'text.ts': `export const text = 'one'\n`,
}

/** Lines of the excerpt, without what stands around them. */
const excerpt = (lines: readonly string[]): string[] => lines.filter((line) => /^ {4}[> ] +\d* \| ?/.test(line)).map((line) => line.trim())

describe('a change that does not load', () => {
  let house: House
  beforeAll(async () => {
    house = await openHouse(files)
    await house.said('Listening on')
    await house.answers('/', 'one')
  })
  afterAll(() => house[Symbol.asyncDispose]())
  beforeEach(() => house.since())

  const wrong: readonly (readonly [what: string, text: string, told: string, place: string, line: string])[] = [
    ['TypeScript', 'export const text: string = \n', 'SyntaxError: Expression expected', 'text.ts:1', '> 1 | export const text: string ='],
    [
      'JavaScript after its types are gone',
      `const a: number = 1\n\nconst a = 2\nexport const text = ''\n`,
      `SyntaxError: Identifier 'a' has already been declared`,
      'text.ts:3:7',
      '> 3 | const a = 2',
    ],
    [
      'an export that is not there',
      `export const other = 1\n`,
      `SyntaxError: The requested module './text.ts' does not provide an export named 'text'`,
      'web.ts:2:10',
      `> 2 | import { text } from './text.ts'`,
    ],
    [
      'a throw',
      `function fail(): never {\n  throw new RangeError('far <b>too</b> far')\n}\nexport const text = fail()\n`,
      'RangeError: far <b>too</b> far',
      'text.ts:2:9',
      `> 2 |   throw new RangeError('far <b>too</b> far')`,
    ],
    [
      'a module that is missing',
      `export { text } from './deeper/gone.ts'\n`,
      'Error: Cannot find module',
      'text.ts:1:22',
      `> 1 | export { text } from './deeper/gone.ts'`,
    ],
    [
      'a package that is missing',
      `import 'not-installed'\nexport const text = ''\n`,
      `Error: Cannot find package 'not-installed'`,
      'text.ts:1:8',
      `> 1 | import 'not-installed'`,
    ],
  ]
  test.each(wrong)('%s: told with its place and source, in the terminal and on the page', async (_what, text, told, place, line) => {
    house.write('text.ts', text)
    await house.said(`(new) does not load (${place.split(':').slice(0, 2).join(':')}); the old one goes on`)
    const lines = house.heard()
    expect(lines.some((said) => said.includes(`error ${told}`))).toBe(true)
    expect(lines.map((said) => said.trim())).toContain(place)
    expect(excerpt(lines)).toContain(line)

    const page = await waitFor(async () => ((await house.page()).body.includes('does not load') ? house.page() : false), {
      what: 'the page',
    })
    expect(page.code).toBe(500)
    expect(page.body).toContain(`<p class="place">${place}</p>`)
    expect(page.body).not.toContain('<b>too</b>')
    // Whoever is no browser gets what worked.
    expect(await house.ask('/', { accept: '*/*' })).toEqual({ code: 200, body: 'one' })
    expect(await house.ask('/', { accept: 'text/html', 'sec-fetch-dest': 'empty' })).toEqual({ code: 200, body: 'one' })

    house.write('text.ts', files['text.ts'])
    await house.said('Reloaded web')
    await waitFor(async () => (await house.page()).body === 'one', { what: 'the page of the app' })
  })

  test('a file that was missing, made', async () => {
    house.write('text.ts', `export { text } from './deeper/text.ts'\n`)
    await house.said('does not load (text.ts:1)')
    house.write('deeper/text.ts', `export const text = 'deeper'\n`)
    await house.answers('/', 'deeper')
  })

  test('a file removed, and back', async () => {
    house.remove('deeper/text.ts')
    await house.said(/Cannot find module .*deeper\/text\.ts/)
    expect((await house.ask()).body).toBe('deeper')
    house.write('deeper/text.ts', `export const text = 'back'\n`)
    await house.answers('/', 'back')
  })

  test('the config: refused as a whole, and read again when it is mended', async () => {
    house.write('of-config.ts', `export const value = nothing\n`)
    await house.said('Reload refused, everything goes on as before: config does not load (of-config.ts:1)')
    expect((await house.page()).body).toContain('<b>config</b> does not load')
    house.write('text.ts', `export const text = 'while it is broken'\n`)
    await house.said('Changed: text.ts')
    house.write('of-config.ts', `export const value = 'two'\n`)
    await house.said('hook two')
    await house.answers('/', 'while it is broken')
    await waitFor(async () => (await house.page()).code === 200, { what: 'the page of the app' })
  })

  test('a crash long after the start is shown too, and the worker started again', async () => {
    house.write('text.ts', `setTimeout(() => { throw new Error('much later') }, 200)\nexport const text = 'dies'\n`)
    await house.said('error Error: much later')
    expect(excerpt(house.heard())[0]).toMatch(/^> 1 \| setTimeout/)
    house.write('text.ts', `export const text = 'lives'\n`)
    await house.answers('/', 'lives')
  })
})

test('at the very first start: a stand-in shows the error until the app loads', async () => {
  await using house = await openHouse({ ...files, 'text.ts': 'export const text = \n' })
  await house.said('web.1 does not load (text.ts:1); it waits for a change')
  const page = await waitFor(() => house.page(), { what: 'a page' })
  expect(page.code).toBe(500)
  expect(page.body).toContain('SyntaxError')
  expect(await house.ask('/', { accept: 'application/json' })).toEqual({
    code: 503,
    body: 'The web app does not load; see the terminal of omnibus dev.\n',
  })
  house.write('text.ts', `export const text = 'at last'\n`)
  await house.said('Reloaded web')
  await house.answers('/', 'at last')
  await waitFor(async () => (await house.page()).body === 'at last', { what: 'the page of the app' })
})

test('a config that cannot be read at the first start waits for a change, and a missing entry to be made', async () => {
  const { 'web.ts': web, ...rest } = files
  await using house = await openHouse({ ...rest, 'omnibus.config.ts': 'export default {' })
  await house.said('The configuration does not load; it waits for a change')
  house.since()
  house.write('omnibus.config.ts', CONFIG)
  await house.said(/web\.entry: expected a module's path, got .*web\.ts, which is no file/)
  house.write('web.ts', web)
  await house.answers('/', 'one')
  house.dev.signal('SIGINT')
  expect((await house.dev.exit()).code).toBe(0)
})

test('serve shows nothing of it', async () => {
  await using house = await openHouse(files)
  const bind = `127.0.0.1:${await freePort()}`
  await using serve = omnibus(['serve', '-b', bind], { cwd: house.folder })
  await serve.line('Listening on')
  const get = async (path: string): Promise<string> => (await fetch(`http://${bind}${path}`, { headers: { accept: 'text/html' } })).text()
  expect(await get('/__omnibus/faults')).toBe('one')
  house.write('text.ts', 'export const text = \n')
  serve.signal('SIGHUP')
  await serve.line('Reload refused')
  expect(await get('/')).toBe('one')
})
