/** The web app of the example on a folder and a bus of its own, anew for each test. */
import { readdir, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { type Bus, createBus } from 'omnibus'
import { afterEach, beforeEach, expect } from 'vitest'
import { records, transcode } from '../../examples/video/contracts.ts'
import { readSettings } from '../../examples/video/settings.ts'
import { openStorage, type Storage } from '../../examples/video/storage.ts'
import { createWeb } from '../../examples/video/web/app.ts'
import { newId } from '../../examples/video/web/uploads.ts'
import { tempDir } from '../support/run-folder.ts'

export const LIMIT = 200_000

/** For a file of tests: what is in it is another one in each. */
export class WebHouse {
  root!: string
  storage!: Storage
  bus!: Bus
  app!: FastifyInstance

  constructor() {
    beforeEach(async () => {
      this.root = tempDir('video')
      this.storage = await openStorage(pathToFileURL(join(this.root, 'storage')).href)
      this.bus = createBus({ url: `memory:${newId(0)}`, declares: [transcode, records] })
      this.app = await createWeb({ bus: this.bus, storage: this.storage, settings: this.settings() })
    })
    afterEach(async () => {
      await this.app.close()
      await this.bus.close({ deadlineMs: 1_000 })
      await rm(this.root, { recursive: true })
    })
  }

  settings(more: Record<string, string> = {}) {
    return readSettings({ STORAGE_URL: 'file:///unused', MAX_UPLOAD_BYTES: String(LIMIT), VIDEO_TEMP: join(this.root, 'temp'), ...more })
  }

  async post(payload: { body: FormData }, to = this.app) {
    const request = new Response(payload.body)
    return to.inject({
      method: 'POST',
      url: '/videos',
      headers: { 'content-type': request.headers.get('content-type') ?? '' },
      payload: Buffer.from(await request.arrayBuffer()),
    })
  }

  /** Every file in storage, partial ones too. */
  readonly stored = async (): Promise<string[]> => {
    const entries = await readdir(join(this.root, 'storage'), { recursive: true, withFileTypes: true })
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
  }
}

/** The live feed. `onText` hears all of it so far, again with each part. */
export async function openEvents(
  from: FastifyInstance,
): Promise<{ onText(listener: (text: string) => void): void; ended: Promise<unknown> }> {
  if (!from.server.listening) await from.listen({ port: 0, host: '127.0.0.1' })
  const response = await fetch(`http://127.0.0.1:${(from.server.address() as AddressInfo).port}/events`)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const listeners = new Set<(text: string) => void>()
  let all = ''
  const read = async (): Promise<void> => {
    for await (const chunk of response.body ?? []) {
      all += Buffer.from(chunk).toString()
      for (const listener of listeners) listener(all)
    }
  }
  return { onText: (listener) => void listeners.add(listener), ended: read() }
}
