import { resolve } from 'node:path'
import { Command } from 'commander'
import type { BrokerStats } from '../broker/index.ts'
import { EXIT } from '../supervisor/exit-codes.ts'
import { printError } from './errors.ts'

export function inspect(finish: (code: number) => void): Command {
  return new Command('inspect')
    .description('show the queues, connections and consumers of the built-in broker that runs in a folder; exit 69 where none does')
    .option('--data <folder>', 'where it keeps its messages', '.omnibus')
    .option('--json', 'everything there is, for programs')
    .action(async ({ data, json = false }: { data: string; json?: boolean }) => {
      const { inspectBroker } = await import('../broker/index.ts')
      try {
        const stats = await inspectBroker(resolve(data))
        process.stdout.write(json ? `${JSON.stringify(stats, null, 2)}\n` : describe(stats))
        finish(EXIT.stopped)
      } catch (error) {
        printError(error)
        finish(EXIT.unitFailed)
      }
    })
}

function describe(stats: BrokerStats): string {
  const { pid, uptimeMs, memoryBytes, messageBytes, storeBytes, clients, alarm } = stats
  const queues = stats.queues.map(({ name, ready, unsettled, consumers, rates, published, delivered, acked, memoryBytes: held }) => [
    name,
    ready,
    unsettled,
    consumers,
    rates.published,
    rates.delivered,
    rates.acked,
    published,
    delivered,
    acked,
    size(held),
  ])
  const connections = stats.connections.map(({ client, name, user, protocol, channels, blocked }) => [
    client,
    name,
    user,
    protocol,
    channels.length,
    sum(channels.map((channel) => channel.consumers.length)),
    sum(channels.map((channel) => channel.unsettled)),
    blocked ? 'blocked' : 'running',
  ])
  const consumers = stats.connections.flatMap(({ client, channels }) =>
    channels.flatMap(({ id, consumers: all }) =>
      all.map(({ queue, tag, prefetch, unsettled, priority }) => [queue, tag, client, id, prefetch || 'none', unsettled, priority]),
    ),
  )
  return [
    `Broker ${pid}, up ${duration(uptimeMs)}: ${size(memoryBytes)} of memory (${size(messageBytes)} of it messages), ${size(storeBytes)} on disk, ${clients} connections`,
    ...(alarm === undefined ? [] : [`Publishers are blocked: ${printable(alarm)}`]),
    table('Queues', ['name', 'ready', 'unacked', 'consumers', 'in/s', 'out/s', 'acked/s', 'in', 'out', 'acked', 'memory'], queues),
    table('Connections', ['from', 'name', 'user', 'protocol', 'channels', 'consumers', 'unacked', 'state'], connections),
    table('Consumers', ['queue', 'tag', 'from', 'channel', 'prefetch', 'unacked', 'priority'], consumers),
    '',
  ].join('\n')
}

type Cell = string | number

function table(title: string, head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  if (rows.length === 0) return `\n${title}: none`
  const cells = rows.map((row) => row.map((value) => (typeof value === 'number' ? String(Math.round(value)) : printable(value))))
  const widths = head.map((name, column) => Math.max(name.length, ...cells.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) =>
        typeof rows[0]?.[column] === 'number' ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return [`\n${title}`, ...[head, ...cells].map((row) => `  ${line(row)}`)].join('\n')
}

/** Clients choose names, which must not write to a terminal what they like. */
const printable = (text: string): string => text.replaceAll(/[\p{C}]/gu, '?')

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)

function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes / 1024
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${value.toFixed(1)} ${units[unit]}`
}

function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60 / 24)} days`
}
