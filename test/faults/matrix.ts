/** Every fault, each a test, on one broker or of our store; run by scripts/faults.ts, each leaves a line for the table. */
import { appendFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { canMount, canTrace } from '../support/injection.ts'
import { hasPostgres } from '../support/shared-postgres.ts'
import { brokerKills, brokerRestarts, endpointKills, lateSyncs } from './scenarios/broker-loss.ts'
import { deepJson, otherSchema } from './scenarios/depth.ts'
import { failingDisk, fillingDisk, fullDisk } from './scenarios/disk.ts'
import { effectsOnce } from './scenarios/effects.ts'
import { brokenEnvelopes } from './scenarios/envelopes.ts'
import { fullOfLargeBodies, killedInLargeBodies } from './scenarios/large-bodies.ts'
import { leak } from './scenarios/leak.ts'
import { fullQueue, malformed, oversized } from './scenarios/messages.ts'
import { hangs } from './scenarios/hangs.ts'
import { frozenPastLease } from './scenarios/leases.ts'
import { treeKills } from './scenarios/kills.ts'
import { blackHole, cuts, slowLink } from './scenarios/network.ts'
import { outboxKills } from './scenarios/outbox.ts'
import { lockDrop, oneOwner } from './scenarios/ownership.ts'
import { consumerStorm, gracefulStop, producerKills } from './scenarios/processes.ts'
import { presence } from './scenarios/presence.ts'
import { cutLetters, longHandlers, loops, poison } from './scenarios/returns.ts'
import { blocked, deletedQueue, otherArguments, wrongPassword } from './scenarios/refusals.ts'
import { starvation } from './scenarios/starvation.ts'
import { crashPoints, failingSyncs, powerLoss } from './scenarios/store.ts'
import type { Reported } from './table.ts'
import { builtin, type Kind, type Reachable, startSqsVictim, type Victim } from './victim.ts'
import type { Row, Scale } from './world.ts'

/** Where lines for the table go; set by scripts/faults.ts. */
const REPORT = process.env['OMNIBUS_FAULTS_REPORT']

/** `fault` is the number all know it by, and what it is; the table has it too. */
type Scenario<Of extends unknown[]> = readonly [fault: string, run: (...of: [...Of, Scale]) => Promise<Row>]

/** With a database to be in step with. */
const outboxes: readonly Scenario<[Reachable]>[] = hasPostgres() ? [['F2 producers with an outbox killed', outboxKills]] : []
const duplicates: readonly Scenario<[Reachable]>[] = hasPostgres() ? [['F24 duplicates', effectsOnce]] : []

const scenarios: readonly Scenario<[Victim]>[] = [
  ['F1 consumers killed', consumerStorm],
  ['F2 producers killed', producerKills],
  ...outboxes,
  ['F3 graceful stop', gracefulStop],
  ['F3 reload and stop, as the broker sees them', presence],
  ['F9 broker killed', brokerKills],
  ['F10 broker restarted', brokerRestarts],
  ['F11 syncs once a second', lateSyncs],
  ['F12 connections cut', cuts],
  ['F13 black hole', blackHole],
  ['F14 slow link', slowLink],
  ['F15 publishers blocked', blocked],
  ['F16 queue deleted', deletedQueue],
  ['F17 other arguments', otherArguments],
  ['F19 wrong password', wrongPassword],
  ['F20 no queue, full queue', fullQueue],
  ['F21 failing dead letters, circles', loops],
  ['F22 deadly message', poison],
  ['F23 cut while dead-lettering', cutLetters],
  ...duplicates,
  ['F25 handlers longer than leases', longHandlers],
  ['F26 malformed messages', malformed],
  ['F27 oversized messages', oversized],
  ['F28 deep JSON', deepJson],
  ['F29 other schema', otherSchema],
  ['F40 processors taken', starvation],
]

/** What clients can do wrong, leases, and an endpoint that is away. */
const sqsScenarios: readonly Scenario<[Reachable]>[] = [
  ['F1 consumers killed', consumerStorm],
  ['F2 producers killed', producerKills],
  ['F3 graceful stop', gracefulStop],
  ['F9 broker killed', endpointKills],
  ...duplicates,
  ['F25 frozen past the lease', frozenPastLease],
  ['F26 malformed messages', malformed],
  ['F26 broken envelopes', brokenEnvelopes],
  ['F27 oversized messages', oversized],
  ['F28 deep JSON', deepJson],
  ['F29 other schema', otherSchema],
]

/** On brokers of their own, started as each needs it. */
const storeScenarios: readonly (readonly [...Scenario<[]>, possible: boolean])[] = [
  ['F34 disk fills up', fillingDisk, canMount],
  ['F34 disk full', fullDisk, canMount],
  ['F34 disk full of large bodies', fullOfLargeBodies, canMount],
  ['F35 sync fails', failingSyncs, canTrace],
  ['F35 sync fails under load', failingDisk, canTrace],
  ['F36 store killed', crashPoints, canTrace],
  ['F36 broker killed in large bodies', killedInLargeBodies, true],
  ['F37 power lost', powerLoss, canTrace],
  ['F42 one folder, three brokers', oneOwner, true],
  ['F44 store copied and read', lockDrop, true],
]

/** Of whole trees of processes, with the broker as a unit. */
const supervisorScenarios: readonly Scenario<[]>[] = [
  ['F4 any process killed', treeKills],
  ['F5 event loops hang', hangs],
  ['F7 reloads without end', leak],
]

const scale: Scale = process.env['OMNIBUS_FAULTS'] === 'long' ? 'long' : 'short'
const TIMEOUT_MS = scale === 'long' ? 600_000 : 120_000
/** A thousand reloads take their time. */
const SUPERVISOR_TIMEOUT_MS = 3 * TIMEOUT_MS

/** Runs one, and reports what it reached or that it failed. */
async function reporting(broker: string, fault: string, scenario: () => Promise<Row>): Promise<void> {
  const report = (row: Row): void => {
    if (REPORT !== undefined) appendFileSync(REPORT, `${JSON.stringify({ fault, broker, ...row } satisfies Reported)}\n`)
  }
  try {
    report(await scenario())
  } catch (error) {
    report({ did: '', seen: `**failed**: ${String(error).split('\n')[0]}` })
    throw error
  }
}

export function faultMatrix({ name, available, spared = [], longOnly = [], start }: Kind): void {
  describe.runIf(available)(`faults on ${name}`, () => {
    let victim: Victim
    beforeAll(async () => {
      victim = await start()
    })
    afterAll(() => victim?.[Symbol.asyncDispose]())
    const left = scale === 'long' ? spared : [...spared, ...longOnly]
    const possible = scenarios.filter(([fault]) => !left.some((name) => fault.startsWith(`${name} `)))
    it.each(possible)('%s', (fault, scenario) => reporting(name, fault, () => scenario(victim, scale)), TIMEOUT_MS)
  })
}

export function sqsFaults(): void {
  describe('faults on SQS', () => {
    let victim: Reachable & AsyncDisposable
    beforeAll(async () => {
      victim = await startSqsVictim()
    })
    afterAll(() => victim?.[Symbol.asyncDispose]())
    it.each(sqsScenarios)('%s', (fault, scenario) => reporting('SQS', fault, () => scenario(victim, scale)), TIMEOUT_MS)
  })
}

export function storeFaults(): void {
  describe('faults of the store', () => {
    for (const [fault, scenario, possible] of storeScenarios) {
      it.runIf(possible)(fault, () => reporting(builtin.name, fault, () => scenario(scale)), TIMEOUT_MS)
    }
  })
}

export function supervisorFaults(): void {
  describe('faults under the supervisor', () => {
    it.each(supervisorScenarios)('%s', (fault, scenario) => reporting(builtin.name, fault, () => scenario(scale)), SUPERVISOR_TIMEOUT_MS)
  })
}
