/** Reload after reload while requests and messages flow: what was lost, hung or came twice, and what the master has grown by. */
import { cpSync, existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { connect, createBus } from 'omnibus'
import { omnibus, root, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { waitFor } from '../support/wait.ts'
import { Ticked, ticks } from './app/contracts.ts'
import { type Kind, startClients, type Tally } from './clients.ts'

export interface StormOptions {
  /** Undefined: the built-in broker, as a unit. */
  readonly busUrl: string | undefined
  /** Of the web app, absolute or from the folder of the app. */
  readonly entry: string
  readonly clients: readonly Kind[]
  /** Of the web workers. */
  readonly kind: 'process' | 'thread'
  readonly reloads: number
  /** From the begin of one reload to the begin of the next, where it is over by then. Milliseconds. */
  readonly everyMs: number
}

export interface Storm extends Tally {
  readonly published: number
  /** Confirmed and never handled. */
  readonly lost: readonly number[]
  /** Handled more than once. */
  readonly twice: readonly number[]
  /** Consumers on the queue, once the last reload was over. */
  readonly consumers: number
  /** And once the master had stopped. */
  readonly consumersAfter: number | undefined
  readonly exitCode: number | null
  /** Of the master: early, when everything has happened once, and at the end. */
  readonly descriptors: readonly [early: number, late: number]
  readonly residentMb: readonly [early: number, late: number]
}

/** Before these many reloads the master is not warm. */
const EARLY = 3

export async function storm({ busUrl, entry, clients: kinds, kind, reloads, everyMs }: StormOptions): Promise<Storm> {
  const folder = userFolder('storm')
  cpSync(join(import.meta.dirname, 'app'), folder, { recursive: true })
  symlinkSync(join(root, 'node_modules', 'ws'), join(folder, 'node_modules', 'ws'))
  const port = await freePort()
  const url = busUrl ?? `omnibus://${folder}/.omnibus?spawn=false`
  const env = { BUS_URL: busUrl, ENTRY: entry, KIND: kind }
  await using master = omnibus(['serve', '-b', `127.0.0.1:${port}`], { cwd: folder, env })
  await master.line(/Listening on/)
  await using bus = createBus({ url, declares: [ticks], onEvent: () => undefined })
  await bus.ready()
  const watching = connect(url, { onEvent: () => undefined })
  const clients = startClients(`http://127.0.0.1:${port}`, kinds)

  let published = 0
  let flowing = true
  const publishing = (async () => {
    while (flowing) {
      await bus.publish(Ticked, { n: published })
      published += 1
      await pause(5)
    }
  })()

  let early: readonly [number, number] = sizeOf(master.pid)
  for (let n = 1; n <= reloads; n++) {
    const from = master.lines.length
    const next = pause(everyMs)
    master.signal('SIGHUP')
    await master.line(/Reloaded|Reload refused|Reload stopped/, { from, deadlineMs: 60_000 })
    if (n === EARLY) early = sizeOf(master.pid)
    await next
  }
  await clients.stop()
  flowing = false
  await publishing
  const late = sizeOf(master.pid)
  const file = join(folder, 'handled')
  const handled = (): number[] => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : [])
  await waitFor(() => new Set(handled()).size >= published, { what: 'every message to be handled' }).catch(() => undefined)
  const { consumers } = await watching.inspect(ticks)
  await bus.close({ deadlineMs: 1_000 })
  master.signal('SIGTERM')
  const { code } = await master.exit()
  // The built-in broker has gone with its master.
  const consumersAfter = busUrl === undefined ? undefined : (await watching.inspect(ticks)).consumers
  if (busUrl !== undefined) await watching.delete(ticks)
  await watching.close({ deadlineMs: 1_000 })
  const counts = new Map<number, number>()
  for (const n of handled()) counts.set(n, (counts.get(n) ?? 0) + 1)
  return {
    done: clients.done,
    failures: [...clients.failures, ...master.lines.filter((line) => /Reload (refused|stopped)/.test(line))],
    published,
    lost: Array.from({ length: published }, (_, n) => n).filter((n) => !counts.has(n)),
    twice: [...counts].filter(([, count]) => count > 1).map(([n]) => n),
    consumers,
    consumersAfter,
    exitCode: code,
    descriptors: [early[0], late[0]],
    residentMb: [early[1], late[1]],
  }
}

function sizeOf(pid: number): readonly [descriptors: number, residentMb: number] {
  const descriptors = readdirSync(`/proc/${pid}/fd`).length
  const resident = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return [descriptors, Math.round(Number(resident) / 1024)]
}
