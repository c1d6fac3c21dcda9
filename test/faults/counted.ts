/** How many connections and consumers a broker has, sample after sample, by its own count. */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { inspectBroker } from '../../src/broker/index.ts'
import type { RabbitServer } from '../support/rabbitmq.ts'
import type { RedisServer } from '../support/redis.ts'
import { tempDir } from '../support/run-folder.ts'

export interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly connections: number
  readonly consumers: number
}

export interface Counting extends AsyncDisposable {
  /** Those so far. */
  samples(): readonly Sample[]
}

const EVERY_MS = 50

export const countBuiltin = (data: string): Counting =>
  counting(async () => {
    const { connections } = await inspectBroker(data)
    return [connections.length, connections.flatMap(({ channels }) => channels.flatMap((channel) => channel.consumers)).length]
  })

const CONSUMERS = `
  local count = 0
  for _, key in ipairs(redis.call('KEYS', '_omnibus.consumers.*')) do count = count + redis.call('HLEN', key) end
  return count`

/** Whoever has a name is a client of ours. */
export const countRedis = (server: Pick<RedisServer, 'command'>): Counting =>
  counting(async () => {
    const [clients, consumers] = await Promise.all([server.command('CLIENT', 'LIST'), server.command('EVAL', CONSUMERS, '0')])
    return [String(clients).match(/ name=\S+/g)?.length ?? 0, Number(consumers)]
  })

function counting(count: () => Promise<readonly [connections: number, consumers: number]>): Counting {
  const samples: Sample[] = []
  let over = false
  const run = async (): Promise<void> => {
    while (!over) {
      const [connections, consumers] = await count()
      samples.push({ at: Date.now(), connections, consumers })
      await pause(EVERY_MS)
    }
  }
  const running = run()
  running.catch(() => {})
  return {
    samples: () => samples,
    async [Symbol.asyncDispose]() {
      over = true
      await running
    },
  }
}

/** rabbitmqctl takes a second to start, so one run of it counts until the end, within the server. */
export function countRabbit(server: Pick<RabbitServer, 'ctl'>): Counting {
  const folder = tempDir('counted')
  const [file, end] = [join(folder, 'samples'), join(folder, 'end')]
  appendFileSync(file, '')
  const running = server.ctl(
    'eval',
    `Count = fun Again() ->
       Line = io_lib:format("~p ~p ~p~n", [os:system_time(millisecond), length(rabbit_networking:connections()), length(rabbit_amqqueue:consumers_all(<<"/">>))]),
       file:write_file("${file}", Line, [append]),
       timer:sleep(${EVERY_MS}),
       case filelib:is_file("${end}") of true -> ok; false -> Again() end
     end, Count().`,
  )
  running.catch(() => {})
  return {
    samples: () =>
      readFileSync(file, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => line.split(' ').map(Number))
        .map(([at = 0, connections = 0, consumers = 0]) => ({ at, connections, consumers })),
    async [Symbol.asyncDispose]() {
      if (!existsSync(end)) writeFileSync(end, '')
      await running
    },
  }
}
