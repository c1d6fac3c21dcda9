import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import type { RabbitServer } from '../../test/support/rabbitmq.ts'
import type { Measured } from './workload.ts'

export interface BenchOptions {
  readonly rounds: number
  /** Factor of the numbers of messages. */
  readonly scale: number
  /** Measures only what has this in its name; '' is all. */
  readonly only: string
}

/** Debian's, which has Kombu and pika. */
export const PYTHON = '/usr/bin/python3'

/** Of a package installed here. */
export function versionOf(name: string): string {
  const manifest = join(import.meta.dirname, '../../node_modules', name, 'package.json')
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
}

export async function machine(rabbit: RabbitServer): Promise<string> {
  const python = execFileSync(PYTHON, ['-c', 'import kombu, pika; print(f"Kombu {kombu.__version__}, pika {pika.__version__}")'], {
    encoding: 'utf8',
  }).trim()
  const rabbitVersion = (await rabbit.ctl('version')).trim()
  const peers = ['amqplib', 'rabbitmq-client', '@cloudamqp/amqp-client'].map((name) => `${name} ${versionOf(name)}`).join(', ')
  return `Node ${process.versions.node}, RabbitMQ ${rabbitVersion}, ${peers}, ${python}; ${cpus().length} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB.`
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

export const cpuOf = (results: readonly Measured[]): number => median(results.map((result) => result.cpuMicroseconds))
export const rateOf = (results: readonly Measured[]): number => median(results.map((result) => result.perSecond))

export function printTable(title: string, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`
  const rule = head.map((_, i) => (i === 0 ? '---' : '---:'))
  process.stdout.write(`\n### ${title}\n\n${line(head)}${line(rule)}${rows.map(line).join('')}`)
}

export const thousands = (perSecond: number): string => (perSecond / 1_000).toFixed(perSecond < 10_000 ? 1 : 0)
