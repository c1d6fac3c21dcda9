import { setTimeout as pause } from 'node:timers/promises'
import { Command } from 'commander'
import { EXIT } from '../supervisor/exit-codes.ts'
import type { Status, UnitReport } from '../supervisor/status.ts'
import { ask, type MasterFlags, REFUSED, withMasterFlags } from './find-master.ts'
import { type Cell, duration, printable, table } from './table.ts'

interface StatusFlags extends MasterFlags {
  readonly json?: boolean
  readonly watch?: boolean
}

const WATCH_MS = 1_000
/** Of ECMA-48: cursor to the corner, and what is below it erased. */
const CLEAR = '\u001B[H\u001B[J'

export function status(finish: (code: number) => void): Command {
  return withMasterFlags(new Command('status').description('show what a running master runs; exits 69 where there is none'))
    .option('--json', 'everything there is, for programs')
    .option('--watch', 'show it anew every second, until Ctrl-C or the end of the master')
    .action(async (flags: StatusFlags) => {
      let code = await show(flags)
      while (flags.watch && code === EXIT.stopped) {
        await pause(WATCH_MS)
        code = await show(flags)
      }
      finish(code)
    })
}

async function show({ json = false, watch = false, ...flags }: StatusFlags): Promise<number> {
  const reply = await ask(flags, { verb: 'status' })
  if (typeof reply === 'number') return reply
  if (!reply.ok || !reply.status) {
    process.stderr.write(`${reply.ok ? 'The master told nothing' : reply.error}\n`)
    return REFUSED
  }
  const clear = watch && !json && process.stdout.isTTY ? CLEAR : ''
  process.stdout.write(clear + (json ? `${JSON.stringify(reply.status, null, watch ? 0 : 2)}\n` : describe(reply.status)))
  return EXIT.stopped
}

function describe(now: Status & { readonly pid: number }): string {
  const { pid, phase, ready, degraded, reasons, urls, generation, reloading, lastReloadRefusal, predecessor, successor, units } = now
  const place = urls.length === 0 ? '' : ` on ${urls.join(', ')}`
  const state =
    ready && !degraded
      ? 'ready'
      : ready
        ? `degraded: ${reasons.map(printable).join(', ')}`
        : phase === 'running'
          ? `not ready: ${reasons.map(printable).join(', ')}`
          : phase
  return [
    `Master ${pid}${place}, ${state}${reloading ? ', reloading' : ''}; ${generation} reloads`,
    ...(predecessor === undefined ? [] : [`It takes over from master ${predecessor}, which still runs`]),
    ...(successor === undefined
      ? []
      : [`Master ${successor.pid} takes over from it, and is ${successor.ready ? 'ready' : 'not ready yet'}`]),
    ...(lastReloadRefusal === undefined
      ? []
      : [
          `The last reload was refused at ${lastReloadRefusal.at}, so nothing is scaled or replaced: ${printable(lastReloadRefusal.reason)}`,
        ]),
    table(
      'Processes',
      ['label', 'state', 'pid', 'up', 'restarts', 'requests', 'messages', 'in flight', 'oldest', 'lag', 'memory', 'bus', 'note'],
      units.map(row),
    ),
    '',
  ].join('\n')
}

function row(report: UnitReport): Cell[] {
  const { label, state, pid, uptimeMs, restarts, requests, inFlight, oldestMs, lag, memoryMb } = report
  const { connected, subscribed, threads, failure, replacing, spent, handled, retried = 0, deadLettered = 0 } = report
  const bus = connected === undefined ? '' : connected ? (subscribed === false ? 'not subscribed' : 'connected') : 'away'
  const hosted = threads === undefined ? '' : `${threads} thread${threads === 1 ? '' : 's'}`
  const ill = [retried > 0 ? `${retried} retried` : '', deadLettered > 0 ? `${deadLettered} dead` : '']
  const replaced = [replacing ? 'being replaced' : '', spent ?? ''].filter(Boolean).join(': ')
  const note = failure ?? [hosted, ...ill, replaced].filter(Boolean).join(', ')
  return [
    label,
    state,
    String(pid ?? ''),
    uptimeMs === undefined ? '' : duration(uptimeMs),
    restarts,
    requests ?? 0,
    handled ?? 0,
    inFlight ?? 0,
    oldestMs === undefined ? '' : duration(oldestMs),
    String(lag ?? ''),
    memoryMb === undefined ? '' : `${memoryMb} MiB`,
    bus,
    note,
  ]
}
