/** A queue whose order counts: when its consumer goes, the next one begins where the first one has ended. */
import { describe, expect, it, onTestFinished } from 'vitest'
import { consume, event, on, queue } from '../../src/index.ts'
import { waitFor } from '../support/wait.ts'
import { brokers, busOn, unique } from './brokers.ts'

describe.each(brokers)('a queue with a single active consumer on $name', (broker) => {
  const test = it.runIf(broker.available && broker.single)

  async function setUp() {
    const Step = event<{ n: number }>(unique('step'))
    const steps = queue(unique('steps'), { listensTo: [Step], singleActiveConsumer: true })
    const { bus } = await busOn(broker, { declares: [steps] })
    const told: string[] = []
    const doors: (() => void)[] = []
    const consumer = async (name: string, waits: boolean) => {
      const { bus: own } = await busOn(broker)
      const running = await own.consume(
        consume(
          steps,
          on(Step, async ({ data }) => {
            told.push(`${name} begins ${data.n}`)
            if (waits) await new Promise<void>((resolve) => doors.push(resolve))
            told.push(`${name} ends ${data.n}`)
          }),
        ),
      )
      return { own, running }
    }
    onTestFinished(() => doors.forEach((open) => open()))
    const first = await consumer('first', true)
    for (let n = 1; n <= 3; n++) await bus.publish(Step, { n })
    await waitFor(() => told.length === 1, { what: 'the first message' })
    const second = await consumer('second', false)
    return { told, doors, first, second }
  }

  test('goes on with the next message only when the one before is done', async () => {
    const { told, doors, first, second } = await setUp()
    const stopped = first.running.stop({ deadlineMs: 20_000 })
    // Questions enough for the broker to have handed the next message to the second consumer, if it could.
    for (let asked = 0; asked < 50; asked++) await second.running.lag()
    expect(told).toEqual(['first begins 1'])
    doors[0]!()
    expect(await stopped).toBe(0)
    await waitFor(() => told.length === 6, { what: 'all messages' })
    expect(told).toEqual(['first begins 1', 'first ends 1', 'second begins 2', 'second ends 2', 'second begins 3', 'second ends 3'])
  })

  test('begins again with the message that was not finished in time', async () => {
    const { told, first } = await setUp()
    await first.own.close({ deadlineMs: 600 })
    await waitFor(() => told.includes('second ends 3'), { what: 'the other messages' })
    expect(told.filter((line) => line.startsWith('second begins'))).toEqual(['second begins 1', 'second begins 2', 'second begins 3'])
  })
})
