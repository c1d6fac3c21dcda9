/**
 * `npm run bench [-- clients | brokers] [--rounds N] [--scale N]`: AMQP clients and brokers side by side in one run, interleaved,
 * medians of the rounds, as Markdown. Trust ratios and CPU per message; absolute rates belong to the machine.
 */
import { parseArgs } from 'node:util'
import { startRabbit } from '../test/support/rabbitmq.ts'
import { benchBrokers } from './amqp/brokers.ts'
import { benchClients } from './amqp/clients.ts'
import { machine } from './amqp/report.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    /** Of the numbers of messages: 0.1 for a quick look. */
    scale: { type: 'string', default: '1' },
  },
})
const options = { rounds: Number(values.rounds), scale: Number(values.scale) }
const asked = (what: string): boolean => positionals.length === 0 || positionals.includes(what)

const rabbit = await startRabbit()
try {
  process.stdout.write(`${await machine(rabbit)}\n`)
  if (asked('clients')) await benchClients(rabbit, options)
  if (asked('brokers')) await benchBrokers(rabbit, options)
} finally {
  await rabbit[Symbol.asyncDispose]()
}
