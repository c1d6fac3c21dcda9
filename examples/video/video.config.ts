/** The video component alone: `omnibus work video.config.ts` on another machine, with the same BUS_URL and STORAGE_URL. */
import { defineConfig } from 'omnibus'

export default defineConfig({
  bus: { url: process.env['BUS_URL'] },
  consumers: { video: { entry: './video.ts' } },
})
