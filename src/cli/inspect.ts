import { resolve } from 'node:path'
import { Command } from 'commander'
import type { BrokerStats } from '../broker/index.ts'
import { EXIT } from '../supervisor/exit-codes.ts'
import { printError } from './errors.ts'
import { duration, printable, size, table } from './table.ts'

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

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
