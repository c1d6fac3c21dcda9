/** Whoever comes first owns the folder, everybody else stands by or is a client, and nothing is lost when owners are killed. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inspectBroker, readAnnouncement } from '../../src/broker/index.ts'
import { omnibus, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { run, type Running } from '../support/process.ts'
import { isAlive } from '../support/processes.ts'
import { waitFor } from '../support/wait.ts'

/** A folder of an app: a config with one consumer, and a script that publishes alone. */
function app(): {
  folder: string
  data: string
  script: (from: number, count: number, then?: 'stay') => Running
  handled: () => Set<number>
} {
  const folder = userFolder('one-owner')
  const log = join(folder, 'handled.log')
  const file = (name: string, text: string): void => writeFileSync(join(folder, name), text)
  file('handled.log', '')
  file(
    'contracts.mjs',
    `import { event, queue } from 'omnibus'
     export const Said = event('said.v1')
     export const ears = queue('ears', { listensTo: [Said] })`,
  )
  file(
    'ears.mjs',
    `import { appendFileSync } from 'node:fs'
     import { consume, on } from 'omnibus'
     import { ears, Said } from './contracts.mjs'
     export default consume(ears, { concurrency: 10 }, on(Said, ({ data }) => appendFileSync(${JSON.stringify(log)}, data.n + '\\n')))`,
  )
  file('web.mjs', `export default (request, response) => response.end('ok')`)
  const consumers = `consumers: { ears: { entry: './ears.mjs' } }`
  file('work.config.mjs', `export default { ${consumers} }`)
  file('serve.config.mjs', `export default { web: { entry: './web.mjs' }, ${consumers} }`)
  file(
    'script.mjs',
    `import { createBus } from 'omnibus'
     import { ears, Said } from './contracts.mjs'
     const bus = createBus({ declares: [ears], connection: { deadlineMs: 60_000 } })
     const [from, count] = process.argv.slice(2).map(Number)
     for (let n = from; n < from + count; n++) {
       await bus.publish(Said, { n })
       console.log('confirmed', n)
     }
     if (process.argv[4] === 'stay') {
       const alive = setInterval(() => {}, 1000)
       await new Promise((resolve) => process.once('SIGTERM', resolve))
       clearInterval(alive)
     }
     await bus.close()
     console.log('closed')`,
  )
  return {
    folder,
    data: join(folder, '.omnibus'),
    script: (from, count, then) =>
      run(process.execPath, ['script.mjs', String(from), String(count), then ?? ''], { cwd: folder, label: `script-${from}` }),
    handled: () => new Set(readFileSync(log, 'utf8').trim().split('\n').map(Number)),
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

describe('one folder', () => {
  test('two first scripts share one broker, which goes when both are gone, and what they published stays', async () => {
    const { data, script } = app()
    await using first = script(0, 200)
    await using second = script(200, 200)
    await Promise.all([first.line('confirmed 10'), second.line('confirmed 210')])
    const { pid } = readAnnouncement(data)!
    const brokers = [...first.processes(), ...second.processes()].filter((each) => each !== first.pid && each !== second.pid)
    await Promise.all([first.line('closed'), second.line('closed')])
    expect(brokers).toContain(pid)
    expect((await inspectBroker(data)).queues.find(({ name }) => name === 'ears')).toMatchObject({ ready: 400 })
    await waitFor(() => brokers.every((each) => !isAlive(each)), { what: 'every broker that was started to end' })
    expect(readAnnouncement(data)).toBeUndefined()
  })

  test(
    'serve comes to a script, work to both; the owner is killed, and the next, and every message is handled',
    { timeout: 150_000 },
    async () => {
      const { folder, data, script, handled } = app()
      await using early = script(0, 50, 'stay')
      await early.line('confirmed 49')
      const lone = readAnnouncement(data)!.pid
      const bind = `127.0.0.1:${await freePort()}`
      await using serve = omnibus(['serve', 'serve.config.mjs', '-b', bind], { cwd: folder })
      await serve.line('broker stands by')
      await using work = omnibus(['work', 'work.config.mjs'], { cwd: folder })
      await work.line('broker stands by')
      await waitFor(() => handled().size >= 50, { what: 'what the script left to be handled' })

      await using late = script(50, 600)
      await late.line('confirmed 60')
      early.signal('SIGTERM')
      await early.line('closed')
      let former = lone
      for (const mark of [150, 350]) {
        await late.line(`confirmed ${mark}`)
        process.kill(former, 'SIGKILL')
        const gone = former
        former = await waitFor(() => [readAnnouncement(data)?.pid].find((pid) => pid !== undefined && pid !== gone), { what: 'an heir' })
        expect([...serve.processes(), ...work.processes()]).toContain(former)
      }
      await late.line('closed', { deadlineMs: 50_000 })
      await waitFor(() => handled().size >= 650, { what: 'every message to be handled' })
      expect(upTo(650).filter((n) => !handled().has(n))).toEqual([])
      for (const master of [work, serve]) {
        master.signal('SIGTERM')
        expect(await master.exit()).toEqual({ code: 0, signal: null })
      }
    },
  )
})
