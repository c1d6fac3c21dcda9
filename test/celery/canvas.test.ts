/** Celery's canvas across both sides: what is to come after a task is sent from here as Celery's own workers send it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Bus, type BusEvent, connect, consume, createBus, on, queue, Reject, task, type TaskMessage } from '../../src/index.ts'
import { unique } from '../bus/brokers.ts'
import { resultStoreAt } from '../../src/transports/table.ts'
import type { Running } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'
import { brokers, type Meeting } from './brokers.ts'
import { type Canvas, type CeleryCaller, startCaller, startWorker } from './peers.ts'

// With results as messages, and in a store.
const both = brokers.filter(({ name }) => ['RabbitMQ', 'Redis'].includes(name))

describe.each(both)('on $name', (broker) => {
  describe.runIf(broker.available)('', () => {
    let meeting: Meeting
    let worker: Running
    let caller: CeleryCaller
    let bus: Bus
    let served: TaskMessage[] = []
    const events: Extract<BusEvent, { type: 'message' }>[] = []
    const [there, here] = [unique('there'), unique('here')]
    const at = (where: string, name: string, args: readonly unknown[] = [], more: object = {}): Canvas => ({
      task: name,
      args,
      ...more,
      options: { queue: where, ...('options' in more ? (more.options as object) : {}) },
    })
    const theirs = (name: string, args?: readonly unknown[], more?: object): Canvas => at(there, name, args, more)
    const ours = (name: string, args?: readonly unknown[], more?: object): Canvas => at(here, name, args, more)

    beforeAll(async () => {
      meeting = await broker.meet()
      const { python, results, url } = meeting
      ;[worker, caller] = await Promise.all([startWorker({ ...python, queue: there }), startCaller({ ...python, queue: here })])
      bus = createBus({ url, results, source: 'shop', onEvent: (event) => event.type === 'message' && events.push(event) })
      let failures = 0
      await bus.consume(
        consume(
          queue(here, { type: 'classic' }),
          { concurrency: 10, retry: { attempts: 3, delayMs: () => 1 } },
          on(task('add'), (call) => {
            served.push(call)
            return call.args.reduce<number>((sum, n) => sum + Number(n), 0)
          }),
          on(task('total'), ({ args: [numbers, more = 0] }) => (numbers as number[]).reduce((sum, n) => sum + n, Number(more))),
          on(task('fails'), ({ args }) => {
            throw new Reject(`refused ${String(args[0])}`)
          }),
          on(task('fails once'), () => {
            if (failures++ === 0) throw new Error('not yet')
            return 1
          }),
          on(task('waits'), async (_, { signal }) => {
            await new Promise((resolve) => signal.addEventListener('abort', resolve))
            return 'stopped in time'
          }),
          on(task('hangs'), () => new Promise(() => undefined)),
        ),
      )
    })
    beforeEach(() => {
      served = []
    })
    afterAll(async () => {
      await bus?.close({ deadlineMs: 1_000 })
      await Promise.all([worker?.[Symbol.asyncDispose](), caller?.[Symbol.asyncDispose]()])
      await meeting?.[Symbol.asyncDispose]()
    })

    const canvases: [what: string, canvas: () => Canvas, value: unknown][] = [
      [
        'a chain from theirs to ours and back',
        () => ({ chain: [theirs('math.add', [1, 2]), ours('add', [10]), theirs('math.add', [100])] }),
        113,
      ],
      ['a chain from ours to theirs and back', () => ({ chain: [ours('add', [1, 2]), theirs('math.add', [10]), ours('add', [100])] }), 113],
      ['a chain of ours, the next by its name alone', () => ({ chain: [ours('add', [1, 2]), { task: 'add', args: [10] }] }), 13],
      [
        'steps that take nothing',
        () => ({ chain: [ours('add', [1]), theirs('math.add', [1, 1], { immutable: true }), ours('add', [7], { immutable: true })] }),
        7,
      ],
      [
        'keyword arguments, and a time to begin',
        () => ({ chain: [ours('add', [1]), theirs('math.add', [2], { kwargs: { scale: 5 }, options: { countdown: 0.2 } })] }),
        15,
      ],
      [
        'a group after ours, with a chain in it',
        () => ({ chain: [ours('add', [1]), { group: [theirs('math.add', [1]), { chain: [ours('add', [2]), theirs('math.add', [3])] }] }] }),
        [2, 6],
      ],
      ['a group of ours and theirs', () => ({ group: [ours('add', [1]), theirs('math.add', [1, 1])] }), [1, 2]],
      ['a chain after a task that is tried again', () => ({ chain: [ours('fails once'), theirs('math.add', [1])] }), 2],
    ]
    test.each(canvases)('%s', async (_, canvas, value) => {
      expect(await caller.run(canvas())).toMatchObject({ result: { value } })
    })

    const header = [ours('add', [1]), theirs('math.add', [2, 0]), ours('add', [3])]
    const headerAfterOurs = [ours('add', [1]), theirs('math.add', [2]), ours('add', [3])]
    const inChain: Canvas = { chain: [theirs('math.add', [10, 0]), ours('add', [1])] }
    const afterOurs: Canvas = { chain: [theirs('math.add', [10]), ours('add', [1])] }
    const chords: [what: string, canvas: Canvas, value: unknown][] = [
      ['of both sides, with a body of ours', { chord: [header, ours('total')] }, 6],
      ['of both sides, with a body of theirs', { chord: [header, theirs('total', [10])] }, 16],
      ['of chains, with one after it', { chain: [{ chord: [[inChain, ours('add', [2])], theirs('total')] }, ours('add', [100])] }, 113],
      [
        'begun by ours, with more after it',
        { chain: [ours('add', [1]), { group: headerAfterOurs }, theirs('total'), ours('add', [100])] },
        109,
      ],
      [
        'begun by ours, of chains',
        { chain: [ours('add', [1]), { group: [afterOurs, ours('add', [5])] }, ours('total'), theirs('math.add', [100])] },
        118,
      ],
    ]
    test.runIf(broker.name === 'Redis').each(chords)('a chord %s', async (_, canvas, value) => {
      expect(await caller.run(canvas)).toMatchObject({ result: { value } })
    })

    // Celery's worker may be the one that ends it, and says it in the same words.
    const failing: [what: string, header: Canvas[], bodyQueue: string, message: unknown][] = [
      ['task', [theirs('math.add', [1, 1]), ours('fails', ['it'])], here, /^Dependency [0-9a-f-]{36} raised Reject\('refused it'\)$/],
      ['chain', [{ chain: [ours('fails', ['it']), theirs('math.add', [1])] }, ours('add')], here, /^Dependency .* raised Reject/],
      ['body', [ours('add', [1]), ours('add', [1])], unique('nowhere'), /^Callback error: no queue "nowhere.* for total/],
    ]
    test.runIf(broker.name === 'Redis').each(failing)(
      'a chord whose %s fails tells whoever waits for its body',
      async (_, parts, at, message) => {
        const [id, errorId] = [unique('body'), unique('error')]
        const body = ours('total', [], {
          options: { queue: at, task_id: id },
          link_error: [theirs('heard', [], { options: { task_id: errorId } })],
        })
        await caller.run({ chord: [parts, body] }, { wait: 0 })
        await using store = new AsyncDisposableStack()
        const results = resultStoreAt(meeting.results ?? '')
        store.defer(() => results.close())
        const told = await new Promise<string>((resolve) => results.watch(id, resolve))
        const result = { exc_type: 'ChordError', exc_module: 'celery.exceptions', exc_message: [expect.stringMatching(message as RegExp)] }
        expect(JSON.parse(told)).toMatchObject({ status: 'FAILURE', result })
        await worker.line(new RegExp(`heard\\[${errorId}\\] succeeded in .*: '${id}'`))
      },
    )

    test('each knows the first of its chain, and the one before it', async () => {
      await caller.run({ chain: [ours('add', [1]), ours('add', [1]), ours('add', [1])] })
      const [first, second, third] = served.map(({ id, rootId, parentId }) => ({ id, rootId, parentId }))
      expect(first).toMatchObject({ rootId: first?.id, parentId: undefined })
      expect(second).toMatchObject({ rootId: first?.id, parentId: first?.id })
      expect(third).toMatchObject({ rootId: first?.id, parentId: second?.id })
      expect(served.map(({ origin }) => origin)).toEqual([expect.stringMatching(/@/), 'shop', 'shop'])
    })

    test('link: each gets the result, and Python finds them as its children', async () => {
      const linked = ours('add', [1, 2], { link: [theirs('math.add', [1_000]), ours('add', [20])] })
      // With rpc:// nobody has said where the results of callbacks are waited for.
      if (meeting.results) expect(await caller.run(linked)).toMatchObject({ result: { value: 3, children: [1_003, 23] } })
      else await caller.run(linked, { wait: 0 })
      await waitFor(() => served.length === 2, { what: 'both of ours' })
      expect(served.map(({ args }) => args)).toEqual([
        [1, 2],
        [3, 20],
      ])
      await worker.line(/math\.add\[.*\] succeeded in .*: 1003$/)
    })

    test('what fails tells whoever waits for the end of its chain, and calls its link_error', async () => {
      const id = unique('error')
      const chain = [ours('fails', ['it']), theirs('math.add', [1]), ours('add', [1])]
      const canvas = { chain, link_error: [theirs('told', ['also'], { options: { task_id: id } })] }
      expect(await caller.run(canvas)).toEqual({ error: 'Reject', module: 'celery.exceptions', args: ['refused it'] })
      await worker.line(new RegExp(`told\\[${id}\\] succeeded in .*: \\('[0-9a-f-]{36}', 'also'\\)`))
      // The other way round: theirs fails, and ours is called.
      await caller.run(theirs('fails', ['it'], { link_error: [ours('add', [])] }), { wait: 0 })
      await waitFor(() => served.length === 1, { what: 'our link_error' })
      expect(served[0]?.args).toEqual([served[0]?.parentId])
    })

    test('a task that comes next and has no queue ends the chain, without handling again', async () => {
      const nowhere = unique('nowhere')
      const told = await caller.run({ chain: [ours('add', [1]), at(nowhere, 'x')], link_error: [at(nowhere, 'y')] })
      expect(told).toMatchObject({
        error: 'NextTaskError',
        args: [`no queue "${nowhere}" for x, which was to come next: has its worker ever run?`],
      })
      expect(served).toHaveLength(1)
      const isTold = ({ outcome }: { outcome: object }): boolean =>
        'error' in outcome && String(outcome.error).includes(`; and of what was to come then: no queue "${nowhere}" for y`)
      await waitFor(() => events.some(isTold), { what: 'what became of it' })
    })

    test("limits of time are the caller's: the soft one aborts the signal, the other gives up", async () => {
      expect((await caller.run(ours('waits'), { options: { soft_time_limit: 0.2, time_limit: 20 } })).result?.value).toBe('stopped in time')
      expect(await caller.run(ours('hangs'), { options: { time_limit: 0.2 } })).toEqual({
        error: 'TimeLimitExceeded',
        module: 'billiard.exceptions',
        args: ['0.2'],
      })
      await using connection = connect(meeting.url)
      const letter = await waitFor(async () => connection.get(`${here}.dlq`), { what: 'the dead letter' })
      await letter.ack()
    })

    test('a chain that has expired tells its end', async () => {
      expect(await caller.run({ chain: [ours('add', [1], { options: { expires: -1 } }), theirs('math.add', [1])] })).toMatchObject({
        error: 'TaskRevokedError',
      })
      expect(served).toEqual([])
    })
  })
})

test('what comes next has the same ids if its task is handled again', async () => {
  const [url, calls, next] = [`memory:${unique('again')}`, unique('calls'), unique('next')]
  await using bus = createBus({ url, onEvent: () => undefined })
  await bus.consume(
    consume(
      queue(calls),
      on(task('add'), () => 5),
    ),
  )
  await using connection = connect(url)
  await connection.declare(queue(next))
  // None has got an id from its caller.
  const of = (name: string): object => ({
    task: name,
    args: [1],
    kwargs: {},
    options: { queue: next },
    subtask_type: null,
    immutable: false,
  })
  const group = {
    task: 'celery.group',
    args: [],
    kwargs: { tasks: [of('c'), of('d')] },
    options: {},
    subtask_type: 'group',
    immutable: false,
  }
  const body = [[], {}, { callbacks: [of('a'), of('b'), group], errbacks: null, chain: [of('e')], chord: null }]
  for (let times = 0; times < 2; times++) await connection.publish('', calls, body, { headers: { lang: 'py', task: 'add', id: 'once' } })
  const sent = await Promise.all(Array.from({ length: 10 }, () => waitFor(() => connection.get(next), { what: 'what comes next' })))
  const names = sent.map(({ properties }) => String(properties.headers?.['task']))
  const ids = sent.map(({ properties }) => properties.headers?.['id'])
  expect(names.toSorted()).toEqual(['a', 'a', 'b', 'b', 'c', 'c', 'd', 'd', 'e', 'e'])
  expect(new Set(ids).size).toBe(5)
  expect(sent.every(({ payload }) => JSON.stringify((payload as unknown[])[0]) === '[5,1]')).toBe(true)
})
