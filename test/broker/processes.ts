/** One broker as a process of its own, from the sources. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { BrokerOptions } from '../../src/broker/index.ts'
import { run, type Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'

export const SCRIPT = join(import.meta.dirname, 'broker-process.ts')

export type StartOptions = Omit<BrokerOptions, 'onEvent'>

/** Does not wait for anything. */
export const spawnBroker = (options: StartOptions): Running =>
  run(process.execPath, [SCRIPT, JSON.stringify(options)], { label: 'broker-process' })

export interface Started {
  readonly process: Running
  readonly socket: string
  /** `host:port` */
  readonly listening: string
  /** For clients over TCP. */
  readonly url: string
}

/** Waits until it owns the folder. */
export async function startBroker(options: StartOptions): Promise<Started> {
  const running = spawnBroker(options)
  return { process: running, ...(await ownership(running)) }
}

/** One whose folder is a file system of its own, of `bytes`. `data` is that folder as the broker sees it. */
export async function startOnSmallDisk(
  bytes: number,
  options: Omit<StartOptions, 'data'>,
): Promise<{ broker: Running; url: string; data: string }> {
  const data = tempDir('small-disk')
  const script = `mount -t tmpfs -o size=${bytes},mode=0700 tmpfs "$1" && exec "$2" "$3" "$4"`
  const args = [data, process.execPath, SCRIPT, JSON.stringify({ listen: '127.0.0.1:0', ...options, data })]
  const broker = run('unshare', ['-rm', 'sh', '-c', script, 'sh', ...args], { label: 'small-disk' })
  const { url } = await ownership(broker)
  return { broker, url, data: join(`/proc/${broker.pid}/root`, data) }
}

export async function ownership(running: Running): Promise<{ socket: string; listening: string; url: string }> {
  const event: unknown = JSON.parse(await running.line('"type":"owner"'))
  const { socket, listening = '' } = event as { socket: string; listening?: string }
  return { socket, listening, url: `amqp://guest:guest@${listening}` }
}

/** After the broker has ended: what the file itself says. */
export function inspect(data: string): { integrity: string; bodies: Set<string> } {
  const db = new DatabaseSync(join(data, 'broker.db'))
  try {
    const integrity = String(Object.values(db.prepare('PRAGMA integrity_check').get() ?? {})[0])
    const rows = db.prepare('SELECT body FROM message').all()
    return { integrity, bodies: new Set(rows.map((row) => Buffer.from(row['body'] as Uint8Array).toString())) }
  } finally {
    db.close()
  }
}
