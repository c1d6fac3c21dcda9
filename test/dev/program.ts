/** A program that loads modules in every way there is, in web, consumers and hooks. */

export const value = (text: string): string => `export const value: string = '${text}'\n`

export const handler = (text: string): string => `
import { consume, on } from 'omnibus'
import { mail, Sent } from './contracts.ts'
import { greeting } from './greeting.ts'
export default consume(mail, {}, on(Sent, async () => console.log('mail', '${text}', greeting)))
`

export const config = (workers: number): string => `
import { defineConfig } from 'omnibus'
import { onStarting } from './hooks/start.ts'
export default defineConfig({
  envFile: '.env',
  web: { entry: './web.ts', workers: ${workers} },
  consumers: { mail: { entry: './mail.ts' }, pool: { entry: './pool.ts', kind: 'thread', instances: 2 } },
  hooks: { onStarting },
})
`

export const files = {
  'contracts.ts': `
import { event, queue } from 'omnibus'
export const Sent = event<string>('sent.v1')
export const mail = queue('mail', { listensTo: [Sent] })
`,
  'omnibus.config.ts': config(1),
  '.env': 'GREETING=first\n',
  'hooks/start.ts': `
import { Worker } from 'node:worker_threads'
import { value } from '../deep/hook.ts'
export function onStarting() {
  console.log('onStarting', value)
  new Worker(new URL('./thread.ts', import.meta.url))
}
`,
  'hooks/thread.ts': `import { value } from '../deep/of-thread.ts'\nsetInterval(() => {}, 1000)\nconsole.log('thread of the hook', value)\n`,
  'deep/hook.ts': `export { value } from './hook-value.ts'\n`,
  'deep/hook-value.ts': value('first'),
  'deep/of-thread.ts': value('first'),
  'mail.ts': handler('first'),
  'greeting.ts': `export const greeting = 'hello'\n`,
  'pool.ts': `
import { broadcast, on } from 'omnibus'
import { Sent } from './contracts.ts'
import { value } from './deep/in-pool.ts'
console.log('pool has', value)
export default broadcast(on(Sent, async () => {}))
`,
  'deep/in-pool.ts': value('first'),
  'handler.ts': `export const handle = () => 'first'\n`,
  'deep/import.ts': `export { value } from './value.ts'\n`,
  'deep/value.ts': value('first'),
  'lazy.ts': value('first'),
  'common.cjs': `exports.value = require('./data.json').value + require('./plain.cjs').value\n`,
  'plain.cjs': `exports.value = 'first'\n`,
  'data.json': '{ "value": "the " }\n',
  'target.ts': value('first'),
  'other.ts': value('other'),
  'web.ts': `
import { createBus } from 'omnibus'
import common from './common.cjs'
import { mail, Sent } from './contracts.ts'
import { value as deep } from './deep/import.ts'
import { handle } from './handler.ts'
import { value as linked } from './linked.ts'
const bus = createBus({ declares: [mail] })
const paths = {
  '/handler': async () => handle(),
  '/deep': async () => deep,
  '/lazy': async () => (await import('./lazy.ts')).value,
  '/common': async () => common.value,
  '/linked': async () => linked,
  '/env': async () => process.env['GREETING'],
  '/publish': async () => (await bus.publish(Sent, 'x')).id,
}
export default async (request, response) => response.end(await (paths[request.url] ?? paths['/handler'])())
`,
}
export const links = { 'linked.ts': 'target.ts' }
