/** Every run has a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const fileOf = (name: string): string => join(import.meta.dirname, name)

/** Runs a program to its end; resolves with the JSON it printed. */
export async function runJson(command: string, args: readonly string[]): Promise<unknown> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`)
  return JSON.parse(output)
}

/** Starts the broker of frames alone; resolves with its URL. */
export async function startFakeBroker(): Promise<{ url: string } & Disposable> {
  const child: ChildProcess = spawn(process.execPath, [fileOf('fake-broker.ts')], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [port] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string]
  return { url: `amqp://guest:guest@127.0.0.1:${port}`, [Symbol.dispose]: () => child.kill() }
}
