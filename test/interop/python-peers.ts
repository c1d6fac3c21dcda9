/** Python's clients in one process of their own, asked over HTTP: see peers.py. */
import { join } from 'node:path'
import { run } from '../support/process.ts'

export type Library = 'kombu' | 'pika' | 'amqp'

/** A message as a Python client tells it; what JSON has no word for is `{ $: type, value }`. */
export interface Told {
  readonly body: unknown
  readonly key: string
  readonly headers: Record<string, unknown>
  readonly [property: string]: unknown
}

export interface PythonPeers extends AsyncDisposable {
  /** Rejects with what Python raised. */
  ask<Result = unknown>(library: Library, operation: string, args: Record<string, unknown>): Promise<Result>
  /** SIGKILL. */
  kill(): void
}

/** `transportOptions` are Kombu's. */
export async function startPeers(url: string, transportOptions?: Readonly<Record<string, unknown>>): Promise<PythonPeers> {
  const more = transportOptions ? [JSON.stringify(transportOptions)] : []
  const python = run('/usr/bin/python3', ['-B', join(import.meta.dirname, 'peers.py'), url, ...more], { label: 'peers' })
  const port = (await python.line(/^port /)).slice('port '.length)
  return {
    async ask<Result>(library: Library, operation: string, args: Record<string, unknown>) {
      const answer = await fetch(`http://127.0.0.1:${port}/${library}/${operation}`, { method: 'POST', body: JSON.stringify(args) })
      const result: unknown = await answer.json()
      if (!answer.ok) throw new Error(`${library}.${operation}: ${String(result)}`)
      return result as Result
    },
    kill: () => python.signal('SIGKILL'),
    [Symbol.asyncDispose]: () => python[Symbol.asyncDispose](),
  }
}

/** Bytes as Python takes and tells them. */
export const bytes = (value: Uint8Array | string): { $: string; value: string } => ({
  $: 'bytes',
  value: Buffer.from(value).toString('base64'),
})
