import { describe, expect, it } from 'vitest'
import { broadcast, ConfigError, consume, event, exponential, on, queue } from '../../src/index.ts'
import { waitFor } from '../support/wait.ts'
import { brokers, busOn, unique } from './brokers.ts'

const DELAY_MS = 700

for (const broker of brokers) {
  describe.runIf(broker.available)(`delayed events on ${broker.name}`, () => {
    it('are handled when their time has come, by every consumer, and lose no attempt', async () => {
      const Happened = event<{ n: number }>(unique('test.happened'))
      const { bus, events } = await busOn(broker)
      const { bus: other } = await busOn(broker)
      const seen: string[] = []
      const times: number[] = []
      const handled =
        (who: string) =>
        ({ data }: { data: { n: number } }, { attempt }: { attempt: number }): void => {
          seen.push(`${who} ${data.n} ${attempt}`)
          if (data.n === 1) times.push(Date.now())
          if (who === 'work' && data.n === 1 && attempt === 1) throw new Error('once')
        }
      const work = queue(unique('test.work'), { listensTo: [Happened] })
      await bus.consume(consume(work, { retry: exponential({ minMs: 10 }) }, on(Happened, handled('work'))))
      await bus.consume(broadcast(on(Happened, handled('one'))))
      await other.consume(broadcast(on(Happened, handled('two'))))
      const publishedAt = Date.now()
      await bus.publish(Happened, { n: 1 }, { delayMs: DELAY_MS })
      await bus.publish(Happened, { n: 2 })
      await waitFor(() => seen.length >= 7, { what: 'both, by all three, and the retry' })
      expect(seen.toSorted()).toEqual(['one 1 1', 'one 2 1', 'two 1 1', 'two 2 1', 'work 1 1', 'work 1 2', 'work 2 1'])
      const outcomes = events.flatMap((each) => (each.type === 'message' ? [each.outcome.type] : []))
      expect(outcomes).toContain('postponed')
      expect(outcomes).not.toContain('kept')
      for (const time of times) expect(time - publishedAt).toBeGreaterThanOrEqual(DELAY_MS)
    })
  })
}

it.each([-1, 0.5, Number.NaN, Infinity])('a delay of %s is refused by name', async (delayMs) => {
  const { bus } = await busOn(brokers[0]!)
  const publishing = bus.publish(event(unique('test.happened')), {}, { delayMs })
  await expect(publishing).rejects.toThrow(ConfigError)
  await expect(publishing).rejects.toThrow('delayMs: expected whole milliseconds from 0')
})
