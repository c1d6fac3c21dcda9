/** The master's log: JSON lines for machines, plain lines for people at a terminal. No secret passes. */
import { redactDeep, redactText } from '../core/redact.ts'
import type { LogLevel } from './events.ts'
import { asyncWriter, writeNow } from './exec/output.ts'
import { createRing, type LogRing } from './logs/ring.ts'
import { prettyLine } from './pretty.ts'

const MASTER = 'master'

// pino's numbers.
const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50 }

export interface MasterLog {
  write(level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>): void
  setLevel(level: LogLevel): void
  /** A line a command wrote, which knows nothing of our format. Resolves when it was taken. */
  commandLine(label: string, pid: number, line: string): void | Promise<void>
  /** Lines that a child wrote to stderr, as they are. Resolves when they were taken. */
  readonly errors: (lines: string) => Promise<void>
  /** Set where people read: every line a child writes comes here, to be shown with its label. */
  readonly childLine: ((label: string, line: string) => void) | undefined
  /** The last that was written: here, and what children tell. */
  readonly ring: LogRing
}

/** `pretty` is the default at a terminal, and anywhere with OMNIBUS_LOG=pretty. */
export function createLog(options: { pretty?: boolean } = {}): MasterLog {
  const { pretty = process.env['OMNIBUS_LOG'] === 'pretty' || (process.stdout.isTTY && process.env['OMNIBUS_LOG'] !== 'json') } = options
  const color = process.stdout.isTTY && !process.env['NO_COLOR']
  const print = (line: string): void => void process.stdout.write(`${line}\n`)
  const show = (label: string, line: string): void =>
    print(prettyLine(label, line, { color, stacks: Boolean(process.env['OMNIBUS_DEBUG']) }))
  // Whoever read us may be gone; that is no reason to stop serving.
  process.stdout.on('error', () => {})
  const writeOutput = asyncWriter(1)
  const ring = createRing()
  let lowest: LogLevel = 'info'
  const lineOf = (level: LogLevel, fields: Readonly<Record<string, unknown>>, message: string): string =>
    JSON.stringify(redactDeep({ level: SEVERITY[level], time: Date.now(), ...fields, msg: message }))
  return {
    write(level, message, fields = {}) {
      if (SEVERITY[level] < SEVERITY[lowest]) return
      // What is about a child carries its label and pid, as its own lines do.
      const record = { pid: process.pid, unit: MASTER, ...fields }
      const line = lineOf(level, record, message)
      ring.add(record.unit, [line])
      if (pretty) show(MASTER, line)
      else writeNow(1, `${line}\n`)
    },
    setLevel(level) {
      lowest = level
    },
    commandLine(label, pid, line) {
      ring.add(label, [redactText(line)])
      if (pretty) return show(label, line)
      return writeOutput(`${lineOf('info', { pid, unit: label }, line)}\n`)
    },
    errors: asyncWriter(2),
    childLine: pretty ? show : undefined,
    ring,
  }
}
