import { defineConfig } from 'omnibus'

const { BUS_URL, ENTRY = './web.ts', KIND } = process.env

export default defineConfig({
  bus: { url: BUS_URL },
  web: { entry: ENTRY, workers: 2, kind: KIND === 'thread' ? 'thread' : 'process' },
  consumers: { ticks: { entry: './work.ts', instances: 2 } },
})
