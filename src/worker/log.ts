/** What a host writes: one JSON line per event on stdout, in pino's shape, so that the master can pass it on as it is. No secret passes. */
import { inspect } from 'node:util'
import { messageOf } from '../core/errors.ts'
import { redactDeep, redactText } from '../core/redact.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface Log {
  /** `error` is written with its stack and its causes. */
  write(level: LogLevel, message: string, details?: { readonly error?: unknown; readonly [key: string]: unknown }): void
  /**
   * Whatever the level: a line that was asked for by itself. Those of one turn of the event loop are written together at its end, or with
   * the next line of `write`, or at the exit: only a kill can lose them.
   */
  readonly print: (message: string) => void
  /** Lowest level that is written; the rest is dropped. */
  readonly level: LogLevel
  /** @default 'info' */
  setLevel(level: LogLevel): void
  /** For the child that read the config and becomes the hook host. */
  setUnit(unit: string): void
}

// pino's numbers.
const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50 }

export function createLog(label: string, output: NodeJS.WritableStream = process.stdout): Log {
  let unit = label
  let about = aboutOf(unit)
  let lowest: LogLevel = 'info'
  let held = ''
  let listening = false
  const flush = (): void => {
    if (held === '') return
    const lines = held
    held = ''
    output.write(lines)
  }
  const hold = (line: string): void => {
    if (!listening) process.on('exit', flush)
    listening = true
    if (held === '') setImmediate(flush)
    held += line
  }
  return {
    get level() {
      return lowest
    },
    write(level, message, details = {}) {
      if (SEVERITY[level] < SEVERITY[lowest]) return
      const { error, ...rest } = details
      const shown = error === undefined ? {} : { err: describe(error) }
      const record = { level: SEVERITY[level], time: Date.now(), pid: process.pid, unit, ...rest, ...shown, msg: message }
      held += `${JSON.stringify(redactDeep(record))}\n`
      flush()
    },
    print(message) {
      hold(`${PRINTED}${Date.now()}${about}${JSON.stringify(redactText(message))}}\n`)
    },
    setLevel(level) {
      lowest = level
    },
    setUnit(name) {
      unit = name
      about = aboutOf(unit)
    },
  }
}

// A line that is printed is put together by hand, since there may be one for each request.
const PRINTED = `{"level":${SEVERITY.info},"time":`
const aboutOf = (unit: string): string => `,"pid":${process.pid},"unit":${JSON.stringify(unit)},"msg":`

function describe(error: unknown): { type: string; message: string; stack: string } {
  const known = error instanceof Error
  return {
    type: known ? error.name : typeof error,
    message: messageOf(error),
    // inspect shows causes and aggregated errors too; `stack` alone does not.
    stack: inspect(error),
  }
}
