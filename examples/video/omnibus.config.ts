import { defineConfig } from 'omnibus'

export default defineConfig({
  // Unset: the built-in broker, durable, in .omnibus beside this file.
  bus: { url: process.env['BUS_URL'] },
  web: { entry: './web.ts', workers: 2, bind: `127.0.0.1:${process.env['PORT'] || 8000}` },
  consumers: {
    // The heavy one: scaled, restarted and, by its own team, deployed apart.
    video: { entry: './video.ts' },
    records: { entry: './records.ts' },
  },
})
