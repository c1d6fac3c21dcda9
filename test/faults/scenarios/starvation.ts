/** F40: there is too little of the processor for everybody. */
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect } from 'vitest'
import { omnibus, userFolder } from '../../support/omnibus.ts'
import { run } from '../../support/process.ts'
import { waitFor } from '../../support/wait.ts'
import { faults, noFaults } from '../ledger.ts'
import { produce } from '../load.ts'
import { type Row, type Scale, World } from '../world.ts'
import type { Victim } from '../victim.ts'

const IDLE = 10
const INSTANCES = 2

/** As many processes that only spin as there are processors; nobody may be taken for dead, by the broker, a client or a supervisor. */
export async function starvation(victim: Victim, scale: Scale): Promise<Row> {
  const { heartbeatMs, lastingMs } = scale === 'long' ? { heartbeatMs: 5_000, lastingMs: 60_000 } : { heartbeatMs: 2_000, lastingMs: 5_000 }
  await using world = new World(victim.url)
  const downs: string[] = []
  const open = () => world.connect({ heartbeatMs, onEvent: (event) => void (event.type === 'down' && downs.push(String(event.error))) })
  const ledger = world.ledger('producer')
  const publisher = open()
  await publisher.declare(world.queue)
  // Idle ones live by their heartbeats alone.
  await Promise.all(Array.from({ length: IDLE }, () => open().ready()))
  const names = ['a', 'b'].map((letter) => `consumer-${letter}`)
  const consumers = names.map((name) => world.spawn('consumer', name, { HEARTBEAT_MS: `${heartbeatMs}` }))
  await Promise.all(consumers.map((consumer) => consumer.line('consuming')))
  const ups = (): number[] => names.map((name) => world.written(name, 'up'))
  const upsBefore = ups()

  const folder = userFolder('starved')
  const config = {
    bus: { url: victim.url },
    consumers: { ears: { entry: './ears.mjs', instances: INSTANCES, heartbeatTimeoutMs: heartbeatMs } },
  }
  writeFileSync(join(folder, 'omnibus.config.mjs'), `export default ${JSON.stringify(config)}\n`)
  writeFileSync(
    join(folder, 'ears.mjs'),
    `import { consume, event, on, queue } from 'omnibus'
     const Said = event('starved.v1')
     export default consume(queue('${world.queue.name}.ears', { listensTo: [Said], type: 'classic' }), on(Said, () => {}))`,
  )
  await using work = omnibus(['work'], { cwd: folder })
  const starts = (): number => work.lines.filter((line) => line.includes('is ready')).length
  await waitFor(() => starts() === INSTANCES, { what: 'the supervised consumers' })

  let flowing = true
  const producing = produce({ connection: publisher, queue: world.queue, ledger, name: 'p', window: 20, more: () => flowing })
  await using spinning = new AsyncDisposableStack()
  for (let n = 0; n < availableParallelism(); n++) spinning.use(run(process.execPath, ['-e', 'for (;;);'], { label: 'spinning' }))
  await pause(lastingMs)
  await spinning.disposeAsync()
  flowing = false
  await producing
  ledger.write('end')
  expect({ downs, ups: ups(), starts: starts() }).toEqual({ downs: [], ups: upsBefore, starts: INSTANCES })
  await publisher.delete(`${world.queue.name}.ears`)
  for (const consumer of consumers) consumer.signal('SIGTERM')
  expect(await Promise.all(consumers.map((consumer) => consumer.exit()))).toEqual(consumers.map(() => ({ code: 0, signal: null })))
  const verdict = await world.drained()
  expect(faults(verdict)).toEqual(noFaults)
  return {
    did: `by ${availableParallelism()} spinning processes for ${lastingMs / 1_000} s while ${verdict.confirmed} messages flowed, with heartbeats of ${heartbeatMs / 1_000} s`,
    verdict,
    seen: `none of ${IDLE + 1 + names.length} clients lost a connection, and no supervised consumer was taken for hung`,
  }
}
