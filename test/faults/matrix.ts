/** Every fault that applies to one broker, each a test; in the long form each leaves a line for the table. */
import { appendFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { brokerKills, brokerRestarts } from './scenarios/broker-loss.ts'
import { fullQueue, malformed, oversized } from './scenarios/messages.ts'
import { blackHole, cuts } from './scenarios/network.ts'
import { consumerStorm, gracefulStop, producerKills } from './scenarios/processes.ts'
import { blocked, deletedQueue, otherArguments, wrongPassword } from './scenarios/refusals.ts'
import type { Kind, Victim } from './victim.ts'
import type { Row, Scale } from './world.ts'

/** Where lines for the table go; set by scripts/faults.ts. */
const REPORT = process.env['OMNIBUS_FAULTS_REPORT']

const scenarios: readonly (readonly [name: string, run: (victim: Victim, scale: Scale) => Promise<Row>])[] = [
  ['F1: consumers are killed', consumerStorm],
  ['F2: producers are killed', producerKills],
  ['F3: a consumer is stopped with handlers at work', gracefulStop],
  ['F9: the broker is killed', brokerKills],
  ['F10: the broker is restarted', brokerRestarts],
  ['F12: connections are cut', cuts],
  ['F13: the network goes silent', blackHole],
  ['F15: the broker blocks publishers', blocked],
  ['F16: a queue is deleted under load', deletedQueue],
  ['F17: a queue exists with other arguments', otherArguments],
  ['F19: the password is wrong', wrongPassword],
  ['F20: no queue, or a full one', fullQueue],
  ['F26: malformed messages', malformed],
  ['F27: oversized messages', oversized],
]

export function faultMatrix({ name, available, start }: Kind): void {
  const scale: Scale = process.env['OMNIBUS_FAULTS'] === 'long' ? 'long' : 'short'
  describe.runIf(available)(`faults on ${name}`, () => {
    let victim: Victim
    beforeAll(async () => {
      victim = await start()
    })
    afterAll(() => victim?.[Symbol.asyncDispose]())
    it.each(scenarios)(
      '%s',
      async (fault, scenario) => {
        const report = (row: Row): void => {
          if (REPORT !== undefined) appendFileSync(REPORT, `${JSON.stringify({ broker: name, ...row })}\n`)
        }
        try {
          report(await scenario(victim, scale))
        } catch (error) {
          report({ fault, did: '', seen: `**failed**: ${String(error).split('\n')[0]}` })
          throw error
        }
      },
      scale === 'long' ? 600_000 : 120_000,
    )
  })
}
