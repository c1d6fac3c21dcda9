/** What a command and the master say to each other over the control socket: one JSON request and one reply a line. */
import type { Status } from './status.ts'

/** The verbs are those of the signals; each reply comes when what was asked for is done, or cannot be. */
export type ControlRequest =
  | { readonly verb: 'status' }
  | { readonly verb: 'reload' }
  | { readonly verb: 'stop' }
  /** `unit` is a unit's name, or the label of one of its processes. */
  | { readonly verb: 'restart'; readonly unit: string }
  | { readonly verb: 'scale'; readonly unit: string; readonly size: number }

export type ControlReply =
  /** `code` is the master's exit code, where it stops. */
  | { readonly ok: true; readonly message: string; readonly code?: number; readonly status?: Status & { readonly pid: number } }
  /** Nothing was changed, or not all of it, and why. */
  | { readonly ok: false; readonly error: string }

/** Throws an error that says what a request is, where the line is none. */
export function readRequest(line: string): ControlRequest {
  const { verb, unit, size } = parse(line)
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
    default:
      throw new Error('expected a JSON object with "verb": one of status, reload, stop, restart and scale')
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
