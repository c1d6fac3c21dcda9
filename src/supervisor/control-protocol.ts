/** What a command and the master say to each other over the control socket: one JSON request and one reply a line. */
import type { LogLine } from './logs/ring.ts'
import type { Status } from './status.ts'

/** The verbs are those of the signals; each reply comes when what was asked for is done, or cannot be. */
export type ControlRequest =
  | { readonly verb: 'status' }
  | { readonly verb: 'reload' }
  | { readonly verb: 'stop' }
  /** The last lines of a unit or of all; `follow`: a reply more with whatever comes, until either side hangs up. */
  | { readonly verb: 'logs'; readonly unit?: string; readonly lines: number; readonly follow: boolean }
  /** `unit` is a unit's name, or the label of one of its processes. */
  | { readonly verb: 'restart'; readonly unit: string }
  | { readonly verb: 'scale'; readonly unit: string; readonly size: number }

export type ControlReply =
  | {
      readonly ok: true
      readonly message: string
      /** The master's exit code, where it stops. */
      readonly code?: number
      readonly status?: Status & { readonly pid: number }
      readonly log?: readonly LogLine[]
      /** Lines that were left out before these, since the reader was too slow. */
      readonly missed?: number
    }
  /** Nothing was changed, or not all of it, and why. */
  | { readonly ok: false; readonly error: string }

/** Throws an error that says what a request is, where the line is none. */
export function readRequest(line: string): ControlRequest {
  const { verb, unit, size, lines, follow } = parse(line)
  switch (verb) {
    case 'status':
    case 'reload':
    case 'stop':
      return { verb }
    case 'restart':
      if (typeof unit === 'string') return { verb, unit }
      throw new Error('restart: expected "unit", the name of a unit or of one of its processes')
    case 'scale':
      if (typeof unit === 'string' && Number.isSafeInteger(size)) return { verb, unit, size: Number(size) }
      throw new Error('scale: expected "unit", the name of a unit, and "size", a whole number')
    case 'logs':
      if ((unit === undefined || typeof unit === 'string') && Number.isSafeInteger(lines) && Number(lines) >= 0) {
        return { verb, ...(unit !== undefined && { unit }), lines: Number(lines), follow: follow === true }
      }
      throw new Error('logs: expected "lines", a whole number, perhaps "unit", the name of a unit or of one of its processes, and "follow"')
    default:
      throw new Error('expected a JSON object with "verb": one of status, reload, stop, restart, scale and logs')
  }
}

function parse(line: string): { readonly [key: string]: unknown } {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
