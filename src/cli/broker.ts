import { resolve } from 'node:path'
import { Command } from 'commander'
import { ADDRESS_EXPECTED, normalAddress } from '../config/address.ts'
import { ConfigError, messageOf } from '../core/errors.ts'
import type { BrokerEvent } from '../broker/index.ts'
import { EXIT } from '../supervisor/exit-codes.ts'
import type { MasterLog } from '../supervisor/log.ts'
import { brokerUser } from './broker-user.ts'
import { byteSize } from './options.ts'

interface Limits {
  readonly minFree?: number
  readonly maxStore?: number
  readonly maxMemory?: number
  readonly maxBody?: number
}

interface BrokerCommandOptions extends Limits {
  readonly listen?: string
  readonly data: string
  readonly untilIdle?: boolean
  readonly salvage?: boolean
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly vhost: readonly string[]
}

export function broker(finish: (code: number) => void): Command {
  return new Command('broker')
    .description('run the built-in broker alone, until TERM or INT')
    .option('--listen <address>', 'host:port where it also speaks AMQP 0-9-1 over TCP (default: only its unix socket)')
    .option('--data <folder>', 'where it keeps its messages', '.omnibus')
    .option('--tls-cert <file>', 'certificate in PEM, with --tls-key: the address of --listen speaks TLS only')
    .option('--tls-key <file>', "the certificate's key in PEM")
    .option('--vhost <name>', 'a virtual host besides /; may be given more than once', (name: string, all: string[]) => [...all, name], [])
    .option('--until-idle', 'end when the last client has left')
    .option('--min-free <size>', 'free space of its disk below which publishers are blocked (default: 64MiB)', byteSize)
    .option('--max-store <size>', 'size of its store above which publishers are blocked (default: none)', byteSize)
    .option('--max-memory <size>', 'resident memory above which publishers are blocked (default: 60 % of what there is)', byteSize)
    .option('--max-body <size>', 'largest body of a message (default: 16MiB)', byteSize)
    .option('--salvage', 'keep a damaged store aside, bring everything intact over into a fresh one, and end')
    .addCommand(brokerUser(finish))
    .action(async (options: BrokerCommandOptions) =>
      finish(options.salvage === true ? await runSalvage(options.data) : await runBroker(options)),
    )
}

async function runSalvage(data: string): Promise<number> {
  const { salvage } = await import('../broker/index.ts')
  const { aside, messages, queues, exchanges, bindings, damaged } = salvage(resolve(data))
  process.stdout.write(
    aside === undefined
      ? 'The store is sound and was left as it is.\n'
      : `Brought over ${messages} messages, ${queues} queues, ${exchanges} exchanges and ${bindings} bindings; ` +
          `${damaged} places were damaged. What was there is kept as ${aside}\n`,
  )
  return EXIT.stopped
}

async function runBroker({ listen, data, untilIdle = false, tlsCert, tlsKey, vhost, ...limits }: BrokerCommandOptions): Promise<number> {
  const { minFree, maxStore, maxMemory, maxBody } = limits
  const address = listen === undefined ? undefined : normalAddress(listen, process.cwd())
  if (listen !== undefined && (address === undefined || address.startsWith('unix:'))) {
    throw new ConfigError('omnibus broker', [{ path: '--listen', expected: ADDRESS_EXPECTED.replace(' or unix:/path', ''), got: listen }])
  }
  if ((tlsCert === undefined) !== (tlsKey === undefined) || (tlsCert !== undefined && listen === undefined)) {
    throw new ConfigError('omnibus broker', [
      { path: '--tls-cert', expected: '--tls-key and --listen with it', got: 'one without the others' },
    ])
  }
  const { startBroker } = await import('../broker/index.ts')
  const { createLog } = await import('../supervisor/log.ts')
  const log = createLog()
  const running = await startBroker({
    data: resolve(data),
    ...(address !== undefined && { listen: address }),
    ...(tlsCert !== undefined && tlsKey !== undefined && { tls: { cert: tlsCert, key: tlsKey } }),
    vhosts: vhost,
    untilIdle,
    ...(minFree !== undefined && { minFreeBytes: minFree }),
    ...(maxStore !== undefined && { maxStoreBytes: maxStore }),
    ...(maxMemory !== undefined && { maxMemoryBytes: maxMemory }),
    ...(maxBody !== undefined && { maxBodyBytes: maxBody }),
    onEvent: (event) => logEvent(log, event),
  })
  const { promise: signalled, resolve: stop } = Promise.withResolvers<void>()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) process.on(signal, () => stop())
  // It may also end by itself, when it is idle.
  await Promise.race([signalled, running.closed])
  await running.stop()
  return EXIT.stopped
}

function logEvent(log: MasterLog, event: BrokerEvent): void {
  const error = 'error' in event && event.error !== undefined ? messageOf(event.error) : undefined
  const about = { unit: 'broker', ...event, error }
  switch (event.type) {
    case 'owner':
      return log.write('info', `The broker accepts on ${[event.socket, event.listening].filter(Boolean).join(' and ')}`, about)
    case 'standby':
      return log.write('info', 'The broker stands by: another process owns its folder', about)
    case 'client-open':
    case 'client-end':
      return log.write('debug', event.type, about)
    case 'alarm-over':
      return log.write('info', 'The broker takes publishes again', about)
    case 'alarm':
      return log.write('error', `The broker blocks publishers: ${event.reason}`, about)
    case 'ended':
      return error === undefined
        ? log.write('info', 'The broker ends: its last client has left', about)
        : log.write('error', `The broker ends: ${error}`, about)
    default:
      return log.write('error', `The broker reports ${event.type}${error === undefined ? '' : `: ${error}`}`, about)
  }
}
