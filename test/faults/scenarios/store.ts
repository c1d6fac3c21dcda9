/** F35 to F37: the store is killed at any system call, a sync fails, and the power goes. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect } from 'vitest'
import { openStore } from '../../../src/broker/store/sqlite-store.ts'
import { injecting } from '../../support/injection.ts'
import { runToEnd } from '../../support/process.ts'
import { tempDir } from '../../support/run-folder.ts'
import { Disk, type Luck, luck, noLuck } from '../disk.ts'
import { check, faults, noFaults, summed, type Verdict } from '../ledger.ts'
import { type Call, record } from '../recording.ts'
import type { Row, Scale } from '../world.ts'

const WRITER = join(import.meta.dirname, '..', 'fixtures', 'store-writer.ts')
/** What the writer publishes. */
const MESSAGES = 240
const STORE = 'broker.db'
const LEDGER = 'ledger'

function writer(folder: string, ledgers: string, life: string): string[] {
  return [process.execPath, WRITER, join(folder, STORE), join(ledgers, life), life]
}

/** The ids the next owner of the store finds waiting; throws where it would not start, or the file is damaged. */
function found(folder: string): string[] {
  openStore(join(folder, STORE)).close(false)
  const db = new DatabaseSync(join(folder, STORE))
  try {
    expect(Object.values(db.prepare('PRAGMA integrity_check').get() ?? {})).toEqual(['ok'])
    return db
      .prepare('SELECT body FROM message')
      .all()
      .map(
        ({ body }) =>
          Buffer.from(body as Uint8Array)
            .toString()
            .split(' ')[0]!,
      )
  } finally {
    db.close()
  }
}

const spread = (count: number, last: number): number[] => Array.from({ length: count }, (_, n) => 1 + Math.floor((n * last) / count))

/** At calls of each kind, spread over the whole run; and once more in the recovery from one. */
export async function crashPoints(scale: Scale): Promise<Row> {
  const { calls } = await recorded()
  const last = { pwrite64: 0, fsync: 0, ftruncate: 0 }
  for (const call of calls) {
    if (call.type === 'sync') last.fsync++
    else if (call.type === 'truncate') last.ftruncate++
    else if (call.type === 'write' && call.name !== LEDGER) last.pwrite64++
  }
  const shares = scale === 'long' ? { pwrite64: 280, fsync: 75, ftruncate: 25 } : { pwrite64: 26, fsync: 10, ftruncate: 4 }
  const kinds = Object.keys(shares) as (keyof typeof shares)[]
  const points = kinds.flatMap((call) => spread(shares[call], last[call]).map((at) => [`${call}:signal=KILL:when=${at}`]))
  points.push(['pwrite64:signal=KILL:when=700', 'fsync:signal=KILL:when=12'])
  const verdicts: Verdict[] = []
  const killed = async (kills: readonly string[]): Promise<void> => {
    const [folder, ledgers] = [tempDir('killed'), tempDir('ledger')]
    for (const [life, kill] of kills.entries()) {
      const { signal, output } = await runToEnd('strace', injecting(kill, writer(folder, ledgers, `life${life}`)))
      // strace ends as what it traced did.
      expect(signal, `${kill}: ${output}`).toBe('SIGKILL')
    }
    const verdict = check(ledgers, { queued: found(folder) })
    expect(faults(verdict), `killed at ${kills.join(', then ')}`).toEqual(noFaults)
    verdicts.push(verdict)
  }
  const left = points.values()
  await Promise.all(
    Array.from({ length: 3 }, async () => {
      for (const kills of left) await killed(kills)
    }),
  )
  const verdict = summed(verdicts)
  expect(verdict.confirmed).toBeGreaterThan(20 * points.length)
  return {
    did: `at ${points.length} system calls: ${kinds.map((call) => `${shares[call]} ${call}`).join(', ')}, and one in a recovery`,
    verdict,
    seen: `${verdict.confirmed} confirmed messages; the file sound each time`,
  }
}

interface Played {
  readonly disk: Disk
  /** What the process had promised by then. */
  readonly ledgers: string
}

/** Plays a recording to its end; `before` is called before each sync, and at the end. */
function play(calls: readonly Call[], disk: Disk, before: (played: Played) => void = () => undefined): Played {
  const ledgers = tempDir('ledger')
  for (const call of calls) {
    if (call.type === 'sync') before({ disk, ledgers })
    if (call.name !== LEDGER) disk.do(call)
    else if (call.type === 'write') writeFileSync(join(ledgers, LEDGER), call.data, { flag: 'a' })
  }
  before({ disk, ledgers })
  return { disk, ledgers }
}

/** The power goes, and comes back. */
function afterPowerLoss({ disk, ledgers }: Played, kept: Luck): Verdict {
  const folder = tempDir('power')
  for (const [name, contents] of disk.afterPowerLoss(kept)) writeFileSync(join(folder, name), contents)
  const verdict = check(ledgers, { queued: found(folder) })
  // There are thousands.
  rmSync(folder, { recursive: true })
  return verdict
}

async function recorded(injected?: string): Promise<{ calls: Call[]; output: string }> {
  const folder = tempDir('recorded')
  const { calls, output } = await record(folder, writer(folder, folder, LEDGER), injected)
  expect(output).toContain('done')
  return { calls, output }
}

/** Before each sync: nothing that was not synced is kept, and then some of it, torn at any sector. */
export async function powerLoss(scale: Scale): Promise<Row> {
  const { every, draws } = scale === 'long' ? { every: 1, draws: 10 } : { every: 8, draws: 2 }
  const { calls } = await recorded()
  const verdicts: Verdict[] = []
  let syncs = 0
  const { ledgers } = play(calls, new Disk(), (played) => {
    if (syncs++ % every > 0) return
    for (let draw = 0; draw <= draws; draw++) {
      const seed = syncs * 1_000 + draw
      const at = `power lost before sync ${syncs}, ${draw === 0 ? 'without what was not synced' : `with some of it, seed ${seed}`}`
      try {
        const verdict = afterPowerLoss(played, draw === 0 ? noLuck : luck(seed))
        expect(faults(verdict), at).toEqual(noFaults)
        verdicts.push(verdict)
      } catch (error) {
        throw new Error(`${at}: ${String(error)}`, { cause: error })
      }
    }
  })
  // Else this could find nothing.
  const lying = afterPowerLoss(play(calls, new Disk({ lies: true })), noLuck).lost.length
  const { confirmed } = check(ledgers)
  expect([confirmed, lying > 0]).toEqual([MESSAGES, true])
  return {
    did: `before ${every === 1 ? 'each' : `one in ${every}`} of ${syncs - 1} syncs, ${draws + 1} times: without all that was not synced, then with random sectors of it`,
    verdict: summed(verdicts),
    seen: `the file sound each of ${verdicts.length} times; a disk that only says it syncs would have lost ${lying} of ${confirmed} messages`,
  }
}

/** One sync fails, and what it should have written is gone; nothing is promised after that, and nothing promised is lost. */
export async function failingSyncs(scale: Scale): Promise<Row> {
  // The first thirty make the store.
  const points = scale === 'long' ? spread(40, 120).map((at) => at + 30) : [31, 45]
  const verdicts: Verdict[] = []
  let told = 0
  for (const at of points) {
    const { calls, output } = await recorded(`fsync:error=EIO:when=${at}`)
    const [, confirmed] = /store-failed after (\d+) confirms/.exec(output) ?? []
    const played = play(calls, new Disk())
    for (const kept of [noLuck, luck(at)]) {
      const verdict = afterPowerLoss(played, kept)
      expect(faults(verdict), `sync ${at}`).toEqual(noFaults)
      // SQLite keeps a failed sync of the main file to itself: the log, which was synced, still has it all, and is written again.
      expect(verdict.confirmed, `sync ${at}`).toBe(confirmed === undefined ? MESSAGES : Number(confirmed))
      verdicts.push(verdict)
    }
    if (confirmed !== undefined) told++
  }
  expect(told).toBeGreaterThan(0)
  return {
    did: `of the store alone, ${points.length} syncs, one a run, with all lost that it should have written`,
    verdict: summed(verdicts),
    seen: `${told} ended the store, which confirmed nothing more; ${points.length - told}, of the main file, were made good from the log`,
  }
}
