/** The program in the README, run as the README says. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { omnibus, root, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { waitFor } from '../support/wait.ts'

test('the program of the README serves, publishes and consumes', async () => {
  const folder = userFolder('readme')
  const blocks = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/```ts\n\/\/ (\S+)\n([^]*?)```/g)]
  expect(blocks.map(([, name]) => name)).toEqual(['contracts.ts', 'mail.ts', 'web.ts', 'omnibus.config.ts'])
  for (const [, name = '', code = ''] of blocks) writeFileSync(join(folder, name), code)

  const port = await freePort()
  await using server = omnibus(['serve', '-b', `127.0.0.1:${port}`], { cwd: folder })
  const body = JSON.stringify({ email: 'ada@example.org' })
  const signUp = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body })).status
  await waitFor(async () => (await signUp()) === 202, { what: 'the web app to publish' })
  await server.line('welcome, ada@example.org')
  server.signal('SIGTERM')
  expect(await server.exit()).toEqual({ code: 0, signal: null })
  expect(server.processes()).toEqual([])
})
