/** Runs one broker: `node broker-process.ts '{"data":…}'`. Prints one JSON line per event; stops on TERM. */
import type * as Broker from '../../src/broker/index.ts'
import { built } from '../support/built.ts'

const { startBroker, StoreRefusedError } = (await import(built('broker/index.ts'))) as typeof Broker

const options = JSON.parse(process.argv[2] ?? '{}') as Broker.BrokerOptions
const say = (event: unknown): void => {
  process.stdout.write(`${JSON.stringify(event, (_, value: unknown) => (value instanceof Error ? value.message : value))}\n`)
}
try {
  const broker = await startBroker({ ...options, onEvent: say })
  // A standby has nothing else that keeps its process alive.
  const alive = setInterval(() => {}, 60_000)
  process.on('SIGTERM', () => void broker.stop())
  await broker.closed.finally(() => clearInterval(alive))
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = error instanceof StoreRefusedError ? 78 : 70
}
