/** wrk, which never retries either: requests per second and the 99th percentile of latency. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

export interface Speed {
  readonly perSecond: number
  readonly p99Ms: number
  readonly requests: number
}

/** Debian's package of that name. */
const PROGRAM = '/usr/bin/wrk'
const CONNECTIONS = 64
const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000 }

/** `script`: what it asks, in Lua. @default a GET */
export async function wrk(url: string, seconds: number, script?: string): Promise<Speed> {
  const args = ['-t2', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency', ...(script === undefined ? [] : ['-s', script]), url]
  const { stdout } = await promisify(execFile)(PROGRAM, args)
  const found = (pattern: RegExp): string[] => pattern.exec(stdout)?.slice(1) ?? []
  const [p99 = 'NaN', unit = 'ms'] = found(/99%\s+([\d.]+)(us|ms|s)/)
  const [perSecond = 'NaN'] = found(/Requests\/sec:\s+([\d.]+)/)
  const [requests = 'NaN'] = found(/(\d+) requests in/)
  return { perSecond: Number(perSecond), p99Ms: Number(p99) * (UNITS[unit] ?? 1), requests: Number(requests) }
}
