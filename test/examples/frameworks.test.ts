/** The examples that are named after frameworks: each starts, takes a request, and its consumer hears of it. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { omnibus, root } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

describe.each(['express', 'fastify', 'hono', 'nest'])('examples/%s', (name) => {
  test('publishes what is posted, refuses what is wrong, and stops cleanly', async () => {
    const example = join(root, 'examples', name)
    if (name === 'nest') {
      const tsc = join(root, 'node_modules', '.bin', 'tsc')
      expect(await runToEnd(tsc, ['-p', example])).toMatchObject({ code: 0, output: '' })
    }
    const port = await freePort()
    const args = ['serve', join(example, 'omnibus.config.ts'), '--bind', `127.0.0.1:${port}`, '--data', tempDir(name)]
    await using server = omnibus(args)
    const post = async (body: unknown): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}/signups`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    const accepted = await waitFor(() => post({ email: 'anna@example.com' }).catch(() => undefined), { what: 'the app to answer' })
    expect([accepted.status, await accepted.json()]).toEqual([202, { id: expect.any(String) }])
    await server.line('welcome, anna@example.com')
    const refused = await post({ email: 'nobody' })
    expect(refused.status).toBe(400)
    expect(await refused.text()).toContain('email')
    server.signal('SIGTERM')
    expect(await server.exit()).toEqual({ code: 0, signal: null })
  })
})
