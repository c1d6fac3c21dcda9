/** After `npx tsc -p examples/nest`: Node strips types and leaves decorators, which only a compiler can turn into JavaScript. */
import { defineConfig } from 'omnibus'

export default defineConfig({
  bus: { url: process.env.BUS_URL },
  web: { entry: './dist/web.js', workers: 2 },
  consumers: { mail: { entry: './mail.ts' } },
})
