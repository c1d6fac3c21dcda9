/** A person's way through the page, in a real Chromium, with real videos. */
import { existsSync, mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { root } from '../support/omnibus.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { makeClip, makeText } from './clips.ts'
import { type House, openHouse } from './house.ts'

const CHROMIUM = '/usr/bin/chromium'
const FLAGS =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
// What these tests look at of the page's elements; the DOM's own types would hold for all of the repository.
type Bar = { readonly value: number }
type Picture = { readonly naturalWidth: number }
type Film = {
  muted: boolean
  currentTime: number
  play(): Promise<void>
  readonly seeking: boolean
  readonly videoWidth: number
  readonly videoHeight: number
  readonly duration: number
}

const screenshots = join(root, '.artifacts', 'video')
const clips = tempDir('clips')

describe.runIf(existsSync(CHROMIUM))('the page', { timeout: 120_000 }, () => {
  let house: House
  let browser: Browser
  let troubles: string[]

  beforeAll(async () => {
    mkdirSync(screenshots, { recursive: true })
    house = await openHouse()
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS.split(' ') })
  })
  afterEach(() => expect(troubles).toEqual([]))
  afterAll(async () => {
    await browser?.close()
    await house?.[Symbol.asyncDispose]()
  })

  async function open(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 1360, height: 900 }, colorScheme: 'light', ...options })
    troubles = []
    page.on('console', (message) => message.type() === 'error' && troubles.push(message.text()))
    page.on('pageerror', (error) => troubles.push(error.message))
    page.on('dialog', (dialog) => void (troubles.push(`a dialog: ${dialog.message()}`), dialog.dismiss()))
    await page.goto(house.address)
    await page.waitForSelector('#connection[data-state=live]')
    return page
  }

  const shoot = (page: Page, name: string, fullPage = false): Promise<unknown> =>
    page.screenshot({ path: join(screenshots, `${name}.png`), fullPage })

  test('starts out empty, and says what to do', async () => {
    const page = await open()
    await page.getByText('Nothing here yet').waitFor()
    await page.getByText('up to 2 GB each').waitFor()
    await shoot(page, '1-empty')
    await page.close()
  })

  test('uploads a video, shows its progress, and plays the result', async () => {
    const file = await makeClip(join(clips, 'Holiday by the sea.mp4'), {
      seconds: 12,
      size: '640x360',
      rate: 25,
      args: ['-crf', '1'],
    })
    const page = await open()
    // Slow enough for the bar to be seen.
    const session = await page.context().newCDPSession(page)
    await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 4e6 })
    house.setSlow(true)
    await page.setInputFiles('#file', file)

    const bar = page.locator('.uploads progress')
    const shares = new Set<number>()
    await bar.waitFor()
    await waitFor(async () => shares.add(await bar.evaluate((node) => (node as Bar).value)).size > 3, {
      what: 'the upload to go forward',
    })
    await shoot(page, '2-uploading')

    const card = page.locator('.card', { hasText: 'Holiday by the sea.mp4' })
    await card.waitFor()
    const work = card.locator('progress')
    const steps = new Set<number>()
    await work.waitFor()
    await waitFor(async () => steps.add(await work.evaluate((node) => (node as Bar).value)).size > 3, {
      what: 'the processing to go forward',
    })
    expect([...steps]).toEqual([...steps].toSorted((a, b) => a - b))
    await shoot(page, '3-processing')

    const video = card.locator('video')
    await video.waitFor({ timeout: 60_000 })
    house.setSlow(false)
    await video.evaluate((node: Film) => ((node.muted = true), node.play()))
    await waitFor(() => video.evaluate((node: Film) => node.currentTime > 0.5), { what: 'the film to play' })
    await video.evaluate((node: Film) => void (node.currentTime = 9))
    await waitFor(() => video.evaluate((node: Film) => node.currentTime > 9.2 && !node.seeking), {
      what: 'the film to play on from there',
    })
    expect(await video.evaluate((node: Film) => [node.videoWidth, node.videoHeight, Math.round(node.duration)])).toEqual([640, 360, 12])
    await shoot(page, '4-playing')

    const feed = page.locator('#feed')
    for (const type of ['video.uploaded.v1', 'video.progressed.v1', 'video.ready.v1']) await feed.getByText(type).first().waitFor()

    await card.getByRole('button', { name: 'Contact sheet' }).click()
    const sheet = page.locator('dialog img')
    await waitFor(() => sheet.evaluate((node: Picture) => node.naturalWidth > 900), { what: 'the contact sheet to be shown' })
    await shoot(page, '5-contact-sheet')
    await page.getByRole('button', { name: 'Close' }).click()

    await page.reload()
    await page.locator('.card[data-state=ready]', { hasText: 'Holiday by the sea.mp4' }).waitFor()
    await page.close()
  })

  test('takes what is dropped, and shows hostile names and reasons as the texts they are', async () => {
    const name = '<img src=x onerror=alert(1)>.mp4'
    const text = (await readFile(await makeText(join(clips, 'text.mp4')))).toString()
    const page = await open()
    const dropped = await page.evaluateHandle(`(() => {
      const transfer = new DataTransfer()
      transfer.items.add(new File([${JSON.stringify(text)}], ${JSON.stringify(name)}, { type: 'video/mp4' }))
      return transfer
    })()`)
    await page.dispatchEvent('#drop', 'dragenter', { dataTransfer: dropped })
    await page.locator('#drop.over').waitFor()
    await page.dispatchEvent('#drop', 'drop', { dataTransfer: dropped })
    const card = page.locator('.card[data-state=failed]')
    await card.waitFor()
    expect(await card.locator('h3').textContent()).toBe(name)
    expect(await card.textContent()).toContain('This is no video that can be read')
    expect(await page.locator('main img').count()).toBe(0)
    await shoot(page, '6-failed')
    await page.close()
  })

  test('makes a sample for who has no video', async () => {
    const page = await open({ colorScheme: 'dark' })
    await page.getByRole('button', { name: 'Make a sample' }).click()
    await page.locator('.card[data-state=ready]', { hasText: 'sample-' }).waitFor({ timeout: 60_000 })
    await shoot(page, '7-dark')
    await page.close()
  })

  test('says why an upload is refused', async () => {
    const page = await open()
    await page.setInputFiles('#file', { name: 'empty.mp4', mimeType: 'video/mp4', buffer: Buffer.alloc(0) })
    await page.getByText('The file is empty.').waitFor()
    // What the browser itself says of the answer is no trouble of the page's.
    troubles = troubles.filter((trouble) => !trouble.includes('status of 400'))
    await page.getByRole('button', { name: 'Dismiss' }).click()
    expect(await page.locator('.uploads li').count()).toBe(0)
    await page.close()
  })

  test('fits a phone', async () => {
    const page = await open({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true })
    await page.locator('.card').first().waitFor()
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
    await shoot(page, '8-phone', true)
    await page.close()
  })

  test('comes back by itself when the server was away', async () => {
    const page = await open()
    expect(await house.stop()).toBe(0)
    await page.locator('#connection[data-state=connecting]').waitFor()
    await house.start()
    await page.locator('#connection[data-state=live]').waitFor({ timeout: 60_000 })
    troubles = troubles.filter((trouble) => !/net::ERR_|Failed to load resource/.test(trouble))
    await page.close()
  })
})
