/** The story's program under `omnibus serve`: its hooks own the consumer threads, through reloads and crashes. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, queue } from 'omnibus'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { copyOfExample, omnibus } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import type { Running } from '../support/process.ts'
import { isAlive } from '../support/processes.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { waitFor } from '../support/wait.ts'

const THREADS = 3

describe.each(['the built-in broker', 'RabbitMQ'])('on %s', (where) => {
  describe.runIf(where !== 'RabbitMQ' || hasRabbit())('examples/event-bus', () => {
    let folder: string
    let address: string
    let server: Running

    beforeEach(async () => {
      folder = copyOfExample('event-bus')
      const port = await freePort()
      address = `http://127.0.0.1:${port}`
      const env = where === 'RabbitMQ' ? { BUS_URL: await sharedRabbit() } : {}
      server = omnibus(['serve', 'omnibus.config.ts', '-b', `127.0.0.1:${port}`], { cwd: folder, env })
      await consuming(THREADS)
      await waitFor(async () => (await fetch(address)).ok, { what: 'the web app to answer' })
    })
    afterEach(() => server[Symbol.asyncDispose]())

    const said = (pattern: RegExp): string[] => server.lines.filter((line) => pattern.test(line))
    const consuming = (count: number): Promise<true> =>
      waitFor(() => said(/event-bus \d+\/\d: consuming/).length >= count, { what: `${count} consuming threads` }).catch((error: Error) => {
        throw new Error(`${error.message}\n${server.lines.join('\n')}`)
      })
    const hostPids = (): number[] => [...new Set(said(/: consuming/).map((line) => Number(/event-bus (\d+)/.exec(line)?.[1])))]
    const publishText = async (text: string): Promise<void> => {
      const connection = connect(where === 'RabbitMQ' ? await sharedRabbit() : `omnibus://${folder}/.omnibus?spawn=false`)
      await connection.publish(queue('myapp'), text)
      await connection.close()
    }
    const post = async (body: string): Promise<number> => (await fetch(`${address}/messages`, { method: 'POST', body })).status

    test('its threads handle what the web app publishes, and TERM ends all of them in order', async () => {
      expect(await post('{"text":"good morning"}')).toBe(202)
      await server.line(/handled: good morning/)
      expect(await post('no json')).toBe(400)
      await publishText('no json either')
      await server.line(/rejected what is no JSON/)
      server.signal('SIGTERM')
      expect(await server.exit()).toEqual({ code: 0, signal: null })
      expect(said(/: stopped/)).toHaveLength(THREADS)
      expect(server.processes()).toEqual([])
    })

    test('HUP replaces its threads by ones with the new code, and no message is missed meanwhile', async () => {
      const [old] = hostPids()
      const program = join(folder, 'event-bus.ts')
      writeFileSync(program, readFileSync(program, 'utf8').replace('log(`handled: ', 'log(`handled by new code: '))
      const sent: string[] = []
      let reloaded = false
      const publishing = (async () => {
        for (let n = 0; !reloaded || n < 20; n++) {
          expect(await post(JSON.stringify({ text: `during ${n}.` }))).toBe(202)
          sent.push(`during ${n}.`)
        }
      })()
      server.signal('SIGHUP')
      await consuming(2 * THREADS)
      await waitFor(() => said(/: stopped/).length === THREADS, { what: 'the old threads to stop' })
      await waitFor(() => !isAlive(old ?? 0), { what: 'the old hook host to end' })
      reloaded = true
      await publishing
      const seen = server.lines.length
      expect(await post('{"text":"afterwards"}')).toBe(202)
      await server.line('handled by new code: afterwards', { from: seen })
      await waitFor(() => sent.every((text) => server.lines.some((line) => line.endsWith(text))), { what: 'every message to be handled' })
    })

    test('a reload with broken code is refused, and the old threads go on', async () => {
      writeFileSync(join(folder, 'event-bus.ts'), 'throw new Error("broken code")\n')
      server.signal('SIGHUP')
      await server.line(/broken code/)
      await server.line(/refused/i)
      expect(await post('{"text":"still there"}')).toBe(202)
      await server.line(/handled: still there/)
      expect(said(/: stopped/)).toEqual([])
    })

    test('a hook host killed by SIGKILL comes back with its consumers', async () => {
      const [host] = hostPids()
      process.kill(host ?? 0, 'SIGKILL')
      expect(await post('{"text":"while away"}')).toBe(202)
      await consuming(2 * THREADS)
      const [, replacement] = hostPids()
      await server.line(new RegExp(`event-bus ${replacement}/\\d: handled: while away`))
    })
  })
})
