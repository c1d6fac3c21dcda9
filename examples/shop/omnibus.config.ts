import { defineConfig } from 'omnibus'

export default defineConfig({
  bus: { url: process.env.BUS_URL },
  web: { entry: './web.ts', workers: 2 },
  consumers: { stock: { entry: './stock.ts', instances: 2 } },
})
