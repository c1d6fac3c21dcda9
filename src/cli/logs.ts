import { Command } from 'commander'
import { EXIT } from '../supervisor/exit-codes.ts'
import type { ControlReply } from '../supervisor/control-protocol.ts'
import { follow, type MasterFlags, REFUSED, withMasterFlags } from './find-master.ts'
import { wholeNumber } from './options.ts'

interface LogsFlags extends MasterFlags {
  readonly lines: number
  readonly follow?: boolean
  readonly json?: boolean
}

const LINES = 100

export function logs(finish: (code: number) => void): Command {
  return withMasterFlags(
    new Command('logs')
      .description('show the last lines that the processes of a running master have written; the master keeps 64 KiB of each')
      .argument('[UNIT]', 'web, hooks, broker, master, the name of a consumer, or one process such as web.1 (default: all)'),
  )
    .option('-n, --lines <number>', 'how many lines', wholeNumber, LINES)
    .option('-f, --follow', 'go on with what is written from now on, until Ctrl-C or the end of the master')
    .option('--json', 'one object a line: {"unit", "line"}, and {"missed"} where this command read too slowly')
    .action(async (unit: string | undefined, flags: LogsFlags) => finish(await show(unit, flags)))
}

async function show(unit: string | undefined, { lines, follow: goOn = false, json = false, ...flags }: LogsFlags): Promise<number> {
  const { prettyLine } = await import('../supervisor/pretty.ts')
  // Whoever reads may have had enough, as head does.
  process.stdout.once('error', () => process.exit(EXIT.stopped))
  const pretty = { color: process.stdout.isTTY && !process.env['NO_COLOR'], stacks: true }
  const print = ({ log = [], missed }: Extract<ControlReply, { ok: true }>): Promise<void> => {
    const told =
      missed === undefined ? [] : [json ? JSON.stringify({ missed }) : `(${missed} lines were missed: this command reads too slowly)`]
    const shown = log.map((entry) => (json ? JSON.stringify(entry) : prettyLine(entry.unit, entry.line, pretty)))
    return written([...told, ...shown])
  }
  return follow(flags, { verb: 'logs', ...(unit !== undefined && { unit }), lines, follow: goOn }, async (reply) => {
    if (!reply.ok) {
      process.stderr.write(`${reply.error}\n`)
      return REFUSED
    }
    await print(reply)
    return goOn ? undefined : EXIT.stopped
  })
}

/** Resolves when they are out, so that a slow terminal is felt by the master and not by this process's memory. */
function written(lines: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    process.stdout.write(lines.map((line) => `${line}\n`).join(''), () => resolve())
  })
}
