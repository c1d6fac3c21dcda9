/** When a command counts as ready. */
import { connect } from 'node:net'
import type { ReadyWhen } from '../../config/exec.ts'
import { sleep } from '../../core/clock.ts'
import { hostAndPort } from '../listen.ts'

export interface ReadyContext {
  /** Aborts when the command has ended. */
  readonly signal: AbortSignal
  readonly onLine: (listener: (line: string) => void) => void
}

/** Long enough to see that an interpreter found its script and its modules. */
const ALIVE_MS = 500
const PROBE_EVERY_MS = 100
const PROBE_LIMIT_MS = 2_000

/** Resolves with whether it is ready, false when it ended first. The master's deadline bounds it. */
export async function untilReady(when: ReadyWhen, { signal, onLine }: ReadyContext): Promise<boolean> {
  if (when === 'started') {
    await pause(ALIVE_MS, signal)
  } else if ('line' in when) {
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
      onLine((line) => void (line.includes(when.line) && resolve()))
    })
  } else {
    const probe = 'port' in when ? () => accepts(when.port) : () => answers(when.url)
    while (!signal.aborted && !(await probe())) await pause(PROBE_EVERY_MS, signal)
  }
  return !signal.aborted
}

/** Resolves after `ms`, or as soon as the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return sleep(ms, { signal }).catch(() => {})
}

function accepts(port: number | string): Promise<boolean> {
  const address = typeof port === 'number' ? { host: '127.0.0.1', port } : hostAndPort(port)
  return new Promise((resolve) => {
    const socket = connect({ ...address, timeout: PROBE_LIMIT_MS })
    const end = (accepted: boolean): void => {
      socket.destroy()
      resolve(accepted)
    }
    socket.once('connect', () => end(true))
    socket.once('timeout', () => end(false))
    socket.once('error', () => end(false))
  })
}

async function answers(url: string): Promise<boolean> {
  const { get } = await import('node:http')
  return new Promise((resolve) => {
    const request = get(url, { timeout: PROBE_LIMIT_MS, agent: false }, ({ statusCode = 0 }) => {
      request.destroy()
      resolve(statusCode >= 200 && statusCode < 400)
    })
    request.once('timeout', () => request.destroy(new Error('timeout')))
    request.once('error', () => resolve(false))
  })
}
