import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { applyFact, type Fact, isAnnounced, newRecord, type VideoRecord } from '../../examples/video/record.ts'

const id = '0193a0b0-0000-7000-8000-000000000001'
const uploaded = { id, path: `videos/${id}/files/original`, name: 'holiday.mp4', bytes: 1000, uploadedAt: '2026-01-01T00:00:00.000Z' }
const at = (seconds: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds))

const stages = ['loading', 'transcoding', 'pictures', 'saving'] as const
const uploadedFact: Fact = { type: 'video.uploaded.v1', id: `${id}:uploaded`, time: at(0), data: uploaded }
const output = { kind: 'video' as const, path: `videos/${id}/files/video.mp4`, contentType: 'video/mp4', bytes: 500 }
const readyFact: Fact = {
  type: 'video.ready.v1',
  id: `${id}:ready`,
  time: at(50),
  data: { id, outputs: [output], durationSeconds: 3, width: 854, height: 480 },
}
const failedFact: Fact = { type: 'video.failed.v1', id: `${id}:failed`, time: at(40), data: { id, reason: 'No video.' } }
const progressFact = (percent: number, stage: (typeof stages)[number], seconds: number): Fact => ({
  type: 'video.progressed.v1',
  id: `${id}:progress:${percent}`,
  time: at(seconds),
  data: { id, progress: percent / 100, stage },
})

const fold = (facts: readonly Fact[], from?: VideoRecord): VideoRecord | undefined =>
  facts.reduce(applyFact as (r: VideoRecord | undefined, f: Fact) => VideoRecord, from)

const anyProgress = fc
  .tuple(fc.integer({ min: 0, max: 100 }), fc.constantFrom(...stages), fc.integer({ min: 1, max: 55 }))
  .map(([percent, stage, seconds]) => progressFact(percent, stage, seconds))
const someFacts = fc
  .tuple(fc.array(anyProgress, { maxLength: 12 }), fc.subarray([uploadedFact, readyFact, failedFact]))
  .map(([progress, others]) => [...progress, ...others])
/** The facts, some of them several times, in any order. */
const delivered = someFacts.chain((facts) =>
  fc.tuple(fc.constant(facts), fc.shuffledSubarray([...facts, ...facts, ...facts], { minLength: facts.length * 3 }), fc.boolean()),
)

test('the same facts lead to the same record, in any order and however often each comes', () => {
  fc.assert(
    fc.property(delivered, ([facts, again, known]) => {
      const from = known ? newRecord(uploaded) : undefined
      expect(fold(again, from)).toEqual(fold(facts, from))
    }),
    { numRuns: 2_000 },
  )
})

test('no state is left for an earlier one, and progress never falls', () => {
  const order = ['queued', 'processing', 'failed', 'ready']
  fc.assert(
    fc.property(delivered, ([, facts]) => {
      let record = newRecord(uploaded)
      for (const fact of facts) {
        const next = applyFact(record, fact)
        expect(order.indexOf(next.state)).toBeGreaterThanOrEqual(order.indexOf(record.state))
        expect(next.progress).toBeGreaterThanOrEqual(record.progress)
        record = next
      }
    }),
  )
})

describe('a record', () => {
  test('goes from queued to ready', () => {
    expect(newRecord(uploaded)).toMatchObject({ state: 'queued', progress: 0, name: 'holiday.mp4' })
    const processing = fold([uploadedFact, progressFact(30, 'transcoding', 10)], newRecord(uploaded))
    expect(processing).toMatchObject({
      state: 'processing',
      progress: 0.3,
      stage: 'transcoding',
      reached: { processing: at(10).toISOString() },
    })
    const ready = fold([readyFact], processing)
    expect(ready).toMatchObject({ state: 'ready', progress: 1, outputs: [output], width: 854 })
    expect(ready).not.toHaveProperty('stage')
  })

  test('is the same object when a fact is no news, so that nothing is written', () => {
    const ready = fold([uploadedFact, readyFact]) as VideoRecord
    const processed = applyFact(ready, progressFact(50, 'transcoding', 10))
    expect(applyFact(processed, progressFact(90, 'saving', 20))).toBe(processed)
    expect(applyFact(processed, { ...readyFact, time: at(59) })).toBe(processed)
  })

  test('says why it failed, and no longer does when a second try made it ready', () => {
    const failed = fold([uploadedFact, failedFact])
    expect(failed).toMatchObject({ state: 'failed', reason: 'No video.' })
    const ready = fold([readyFact], failed)
    expect(ready).toMatchObject({ state: 'ready' })
    expect(ready).not.toHaveProperty('reason')
  })

  test('knows whether its upload was announced', () => {
    expect(isAnnounced(newRecord(uploaded))).toBe(false)
    expect(isAnnounced(fold([uploadedFact], newRecord(uploaded)) as VideoRecord)).toBe(true)
    expect(isAnnounced(fold([progressFact(1, 'loading', 2)], newRecord(uploaded)) as VideoRecord)).toBe(true)
  })
})
