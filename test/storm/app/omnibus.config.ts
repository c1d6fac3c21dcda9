import { defineConfig } from 'omnibus'

export default defineConfig({
  bus: { url: process.env['BUS_URL'] },
  web: { entry: './web.ts', workers: 2 },
  consumers: { ticks: { entry: './work.ts', instances: 2 } },
})
