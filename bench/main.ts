/**
 * `npm run bench [-- clients | brokers | redis | sqs | forward | supervisors | MEASURE ...] [--rounds N] [--scale N] [--only NAME,NAME] [--into FILE]`: AMQP clients, brokers, queues on Redis and SQS, messages by HTTP, and supervisors
 * of web apps, each side by side in one run, interleaved, medians of the rounds, as Markdown. Trust ratios and CPU; absolute rates
 * belong to the machine.
 */
import { parseArgs } from 'node:util'
import { startRabbit } from '../test/support/rabbitmq.ts'
import { BROKER_MEASURES, benchBrokers } from './amqp/brokers.ts'
import { benchClients } from './amqp/clients.ts'
import { machine } from './amqp/report.ts'
import { benchForward } from './forward/index.ts'
import { benchRedis } from './redis/index.ts'
import { benchSqs } from './sqs/index.ts'
import { benchSupervisors, MEASURES } from './supervisor/index.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    /** Of the numbers of messages: 0.1 for a quick look. */
    scale: { type: 'string', default: '1' },
    /** Of the supervisors those whose names hold one of these texts; of the brokers clients are run against, the one. */
    only: { type: 'string', default: '' },
    /** Of the supervisors: a file that keeps what was found, and adds what it has from runs before. */
    into: { type: 'string' },
  },
})
const options = { rounds: Number(values.rounds), scale: Number(values.scale), only: values.only }
const measures = MEASURES.filter((measure) => positionals.includes(measure))
const ofBrokers = BROKER_MEASURES.filter((measure) => positionals.includes(measure))
const known: readonly string[] = ['clients', 'brokers', 'redis', 'sqs', 'forward', 'supervisors', ...BROKER_MEASURES, ...MEASURES]
const unknown = positionals.find((name) => !known.includes(name))
if (unknown !== undefined) throw new Error(`there is no benchmark "${unknown}"; there are ${known.join(', ')}`)
const asked = (...names: readonly string[]): boolean => positionals.length === 0 || names.some((name) => positionals.includes(name))

if (asked('clients', 'brokers', ...BROKER_MEASURES)) {
  await using rabbit = await startRabbit()
  process.stdout.write(`${await machine(rabbit)}\n`)
  if (asked('clients')) await benchClients(rabbit, options)
  if (asked('brokers', ...BROKER_MEASURES)) await benchBrokers(rabbit, ofBrokers.length > 0 ? ofBrokers : BROKER_MEASURES, options)
}
if (asked('redis')) await benchRedis(options)
if (asked('sqs')) await benchSqs(options)
if (asked('forward')) await benchForward(options)
if (asked('supervisors', ...MEASURES)) await benchSupervisors(measures.length > 0 ? measures : MEASURES, { ...options, into: values.into })
