/** A forwarder, a gateway and an app that are replaced under load: nothing is refused, and what was taken is handled. */
import { readFileSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Status } from '../../src/supervisor/status.ts'
import { omnibus, root, userFolder } from '../support/omnibus.ts'
import { freePorts } from '../support/ports.ts'
import { type Running, runToEnd } from '../support/process.ts'
import { isAlive } from '../support/processes.ts'
import { waitFor } from '../support/wait.ts'

/** Two of it may listen, so that one master can take over from another. */
const APP = `import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'
const server = createServer((request, response) => {
  request.resume().on('end', () => setTimeout(() => {
    appendFileSync('handled', request.headers['ce-id'] + '\\n')
    response.writeHead(204).end()
  }, 20))
})
server.listen({ port: Number(process.env.PORT), host: '127.0.0.1', reusePort: true })
process.on('SIGTERM', () => server.close(() => process.exit()))
`

interface Publishing {
  /** Ids that were answered with 202. */
  readonly confirmed: ReadonlySet<string>
  /** Everything else that came of a request. */
  readonly failures: readonly string[]
  stop(): Promise<void>
}

/** Clients of the gateway that never try twice. */
function publishing(port: number): Publishing {
  const confirmed = new Set<string>()
  const failures: string[] = []
  let stopping = false
  const publish = (id: string, agent: Agent): Promise<void> =>
    new Promise((resolve) => {
      const headers = { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': 's', 'ce-type': 'replaced', 'content-length': 2 }
      const asking = request({ port, path: '/publish', method: 'POST', headers, agent }, (response) => {
        if (response.statusCode === 202) confirmed.add(id)
        else failures.push(`${id}: ${response.statusCode}`)
        response.resume().on('close', resolve)
      })
      asking.on('error', (error) => {
        failures.push(`${id}: ${String(error)}`)
        resolve()
      })
      asking.end('{}')
    })
  const client = async (name: string, keepAlive: boolean): Promise<void> => {
    const agent = new Agent({ keepAlive, maxSockets: 1 })
    for (let n = 0; !stopping; n++) {
      await publish(`${name}-${n}`, agent)
      await pause(5)
    }
    agent.destroy()
  }
  const running = ['a', 'b'].flatMap((name) => [client(`${name}1`, true), client(`${name}2`, false)])
  return {
    confirmed,
    failures,
    async stop() {
      stopping = true
      await Promise.all(running)
    },
  }
}

test('by a reload, by scaling, and by a second master, without a message lost or refused', async () => {
  const [app, gateway] = (await freePorts(2)) as [number, number]
  const cwd = userFolder('replacing')
  writeFileSync(join(cwd, 'app.mjs'), APP)
  writeFileSync(
    join(cwd, 'omnibus.config.ts'),
    `import { event, queue } from 'omnibus'
export default {
  forward: { out: { queue: queue('out', { listensTo: [event('replaced')] }), to: 'http://127.0.0.1:${app}/' } },
  gateway: { listen: '127.0.0.1:${gateway}' },
  exec: { app: { command: ['${process.execPath}', 'app.mjs'], env: { PORT: '${app}' }, ready: { port: ${app} } } },
}\n`,
  )
  await using first: Running = omnibus(['serve'], { cwd })
  await first.line('"msg":"Ready"')
  const control = async (...args: string[]): Promise<string> => {
    const { code, output } = await runToEnd(process.execPath, [join(root, 'dist/cli/main.js'), ...args], { cwd })
    expect(code, output).toBe(0)
    return output
  }
  const forwarders = async (pid: number): Promise<number> => {
    const { units } = JSON.parse(await control('status', '--json', '--pid', String(pid))) as Status
    return units.filter(({ unit, state, subscribed }) => unit === 'out' && state === 'ready' && subscribed).length
  }
  const load = publishing(gateway)
  const more = async (what: string): Promise<void> => {
    const before = load.confirmed.size
    await waitFor(() => load.confirmed.size > before + 100, { what: `the load to go on after ${what}` })
  }

  await more('the start')
  await control('reload')
  await more('the reload')
  await control('scale', 'out=3')
  await waitFor(async () => (await forwarders(first.pid)) === 3, { what: 'three forwarders' })
  await control('scale', 'out=1')
  await control('restart', 'gateway')
  await more('scaling')

  first.signal('SIGUSR2')
  const second = Number(/The new master (\d+) is ready/.exec(await first.line('is ready: TERM ends this one'))?.[1])
  first.signal('SIGWINCH')
  await waitFor(async () => (await forwarders(first.pid)) === 0, { what: "the first one's workers to rest" })
  await more('WINCH')
  first.signal('SIGTERM')
  expect(await first.exit()).toEqual({ code: 0, signal: null })
  await more('TERM')
  expect(await forwarders(second)).toBe(1)

  await load.stop()
  const handled = (): string[] => readFileSync(join(cwd, 'handled'), 'utf8').trim().split('\n')
  await waitFor(() => new Set(handled()).size >= load.confirmed.size, { what: 'all that was taken to be handled' })
  expect(load.failures).toEqual([])
  expect([...load.confirmed].filter((id) => !handled().includes(id))).toEqual([])
  process.kill(second, 'SIGTERM')
  await waitFor(() => !isAlive(second), { what: 'the second to end' })
  expect(first.lines.filter((line) => /cut off|in flight/.test(line))).toEqual([])
})
