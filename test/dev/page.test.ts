/** The page of errors as a person sees it, in a real Chromium. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from '../support/omnibus.ts'
import { type House, openHouse } from './house.ts'

const CHROMIUM = '/usr/bin/chromium'
const FLAGS =
  '--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync'

const app = (body: string): string => `
import { render } from './render.ts'
export default (request, response) => response.setHeader('content-type', 'text/html').end(render(${JSON.stringify(body)}))
`
const RENDER = `export const render = (body: string): string => '<!doctype html><h1>' + body + '</h1>'\n`
const BROKEN = `/** What a page is. */
export function render(body: string): string {
\tconst title = '<script>document.title = "taken over"</script>' // hostile
\tconst words = body.split(' ')
\treturn layout(words.map((word) => word.toUpperCase()), title)
}

function layout(words: string[], title: string): string {
\tthrow new TypeError('Cannot lay out <img src=x onerror="document.title=1"> & ' + words.length + ' words')
}
render('hello from a page')
`

describe.runIf(existsSync(CHROMIUM))('the page', { timeout: 120_000 }, () => {
  const screenshots = join(root, '.artifacts', 'dev')
  let house: House
  let browser: Browser

  beforeAll(async () => {
    mkdirSync(screenshots, { recursive: true })
    house = await openHouse({
      'omnibus.config.ts': `export default { bus: { url: 'amqp://127.0.0.1:1/' }, web: { entry: './web.ts' } }\n`,
      'web.ts': app('hello'),
      'render.ts': RENDER,
    })
    await house.said('Listening on')
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS.split(' ') })
  })
  afterAll(async () => {
    await browser?.close()
    await house?.[Symbol.asyncDispose]()
  })

  const open = async (options: Parameters<Browser['newPage']>[0]): Promise<Page> => {
    const page = await browser.newPage(options)
    await page.goto(house.address)
    return page
  }

  test('shows the error with its source, hostile texts as the texts they are, and gives way to the app when it is mended', async () => {
    house.write('render.ts', BROKEN)
    await house.said('does not load (render.ts:9)')
    const page = await open({ viewport: { width: 1100, height: 760 }, colorScheme: 'light' })
    await page.getByRole('heading', { name: 'Cannot lay out <img src=x' }).waitFor()
    expect(await page.locator('.at').first().textContent()).toContain('throw new TypeError')
    expect(await page.title()).toContain('TypeError')
    expect(await page.locator('img').count()).toBe(0)
    await page.getByText('Stack').click()
    await page.getByText('render render.ts:5:').waitFor()
    await page.screenshot({ path: join(screenshots, 'light.png') })

    const dark = await open({ viewport: { width: 1100, height: 760 }, colorScheme: 'dark' })
    await dark.getByRole('heading', { name: 'Cannot lay out' }).waitFor()
    await dark.screenshot({ path: join(screenshots, 'dark.png') })
    const phone = await open({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true })
    expect(await phone.evaluate('document.documentElement.scrollWidth')).toBe(360)
    await phone.screenshot({ path: join(screenshots, 'phone.png') })

    // Another error, then none; nobody touches the pages.
    house.write('render.ts', `export const render = (body: string) => \n`)
    await page.getByRole('heading', { name: 'SyntaxError' }).waitFor()
    house.write('web.ts', app('mended'))
    house.write('render.ts', RENDER)
    for (const shown of [page, dark, phone]) await shown.getByRole('heading', { name: 'mended' }).waitFor()
  })
})
