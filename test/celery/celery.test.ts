/** Celery's own worker runs what is called here, and its own callers get their results from handlers here; on each broker. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  type Bus,
  type BusEvent,
  type CreateBusOptions,
  connect,
  consume,
  createBus,
  noRetry,
  on,
  queue,
  Reject,
  task,
  type TaskMessage,
} from '../../src/index.ts'
import { unique } from '../bus/brokers.ts'
import { startBroker } from '../support/broker.ts'
import type { Running } from '../support/process.ts'
import { startRedis } from '../support/redis.ts'
import { hasRedis } from '../support/shared-redis.ts'
import { waitFor } from '../support/wait.ts'
import { brokers, type Meeting } from './brokers.ts'
import { type CeleryCaller, startCaller, startWorker } from './peers.ts'

describe.each(brokers)('on $name', (broker) => {
  const { name: where, available } = broker
  describe.runIf(available)('', () => {
    let meeting: Meeting
    let worker: Running
    let caller: CeleryCaller
    const [there, here] = [unique('there'), unique('here')]
    const open = (options?: CreateBusOptions): Bus => createBus({ url: meeting.url, results: meeting.results, ...options })
    beforeAll(async () => {
      meeting = await broker.meet()
      const { python } = meeting
      ;[worker, caller] = await Promise.all([startWorker({ ...python, queue: there }), startCaller({ ...python, queue: here })])
    })
    afterAll(async () => {
      await Promise.all([worker?.[Symbol.asyncDispose](), caller?.[Symbol.asyncDispose]()])
      await meeting?.[Symbol.asyncDispose]()
    })

    describe('a Celery worker', () => {
      const at = { queue: there }
      const add = task('math.add', { args: z.tuple([z.number(), z.number()]), result: z.number(), ...at })
      let bus: Bus
      beforeAll(() => {
        bus = open({ source: 'shop', onEvent: () => undefined })
      })
      afterAll(() => bus.close({ deadlineMs: 1_000 }))

      test('runs what is called here, and its results come back', async () => {
        expect(await bus.call(add, [1, 2])).toBe(3)
        expect(await bus.call(add, [1, 2], { kwargs: { scale: 10 } })).toBe(30)
        expect(await Promise.all(Array.from({ length: 50 }, (_, n) => bus.call(add, [n, n])))).toEqual(
          Array.from({ length: 50 }, (_, n) => 2 * n),
        )
        expect(await bus.call(task('nothing', at), [])).toBeNull()
        expect(await bus.call(task('big', at), [2_000_000])).toHaveLength(2_000_000)
        // What Celery tells on the way, STARTED and RETRY, is no result.
        expect(await bus.call(task('retries', at), [])).toBe(2)
      })

      test('fails by name, with what Python tells', async () => {
        await expect(bus.call(task('fails', at), ['no such order'])).rejects.toMatchObject({
          name: 'TaskError',
          code: 'ERR_OMNIBUS_TASK',
          message: 'fails: ValueError: no such order, 42',
          type: 'ValueError',
          module: 'builtins',
          args: ['no such order', 42],
          status: 'FAILURE',
          traceback: expect.stringContaining('Traceback (most recent call last)'),
        })
        await expect(bus.call(add, [1] as never)).rejects.toMatchObject({
          name: 'ValidationError',
          message: expect.stringContaining('args of math.add'),
        })
        await expect(bus.call(task('math.add', { result: z.string(), ...at }), [1, 2])).rejects.toThrow('The result of math.add')
        await expect(bus.call(task('math.add', at), [1])).rejects.toMatchObject({ type: 'TypeError' })
        await expect(bus.call(task('x', { queue: unique('nobody') }), [])).rejects.toMatchObject({
          name: 'PublishError',
          reason: 'unroutable',
        })
        await expect(bus.call(task('sleeps', at), [1], { timeoutMs: 500 })).rejects.toMatchObject({
          name: 'RequestError',
          reason: 'timeout',
        })
        await expect(bus.call(task('sleeps', at), [1], { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ reason: 'aborted' })
      })

      test('runs at its time, and not after it', async () => {
        const called = Date.now()
        expect(await bus.call(add, [1, 1], { countdownMs: 2_000 })).toBe(2)
        // Celery counts in whole seconds.
        expect(Date.now() - called).toBeGreaterThan(900)
        await expect(bus.call(add, [1, 1], { expiresMs: -1_000 })).rejects.toMatchObject({ type: 'TaskRevokedError', status: 'REVOKED' })
        const { id } = await bus.send(add, [1, 1], { id: 'told' })
        expect(id).toBe('told')
        await worker.line(/math\.add\[told\] succeeded/)
      })
    })

    describe('a Celery caller', () => {
      const served: TaskMessage[] = []
      const events: Extract<BusEvent, { type: 'message' }>[] = []
      let bus: Bus
      let failures = 0
      beforeAll(async () => {
        bus = open({ onEvent: (event) => event.type === 'message' && events.push(event) })
        await bus.consume(
          consume(
            queue(here, { type: 'classic' }),
            { concurrency: 10, retry: { attempts: 3, delayMs: () => 1 } },
            on(task('math.add', { args: z.tuple([z.number(), z.number()]) }), (call) => {
              served.push(call)
              return (call.args[0] + call.args[1]) * Number(call.kwargs['scale'] ?? 1)
            }),
            on(task('fails'), ({ args }) => {
              if (args[0] === 'once' && failures++ === 0) throw new Error('not yet')
              if (args[0] === 'once') return 'at last'
              throw new Reject(`refused ${String(args[0])}`)
            }),
            on(task('throws'), () => {
              throw new RangeError('out of range')
            }),
            on(task('big'), ({ args }) => 'x'.repeat(Number(args[0]))),
            on(task('nothing'), () => undefined),
          ),
        )
      })
      afterAll(() => bus.close({ deadlineMs: 1_000 }))

      const letters = async (): Promise<number> => {
        await using connection = connect(meeting.url)
        return (await connection.inspect(`${here}.dlq`)).messages
      }

      test('gets what a handler here returns', async () => {
        expect((await caller.call('math.add', [1, 2])).result?.value).toBe(3)
        expect((await caller.call('math.add', [1, 2], { kwargs: { scale: 10 } })).result?.value).toBe(30)
        const [first] = served
        expect(first).toMatchObject({ name: 'math.add', args: [1, 2], kwargs: {}, retries: 0, eta: undefined, rootId: first?.id })
        expect(first?.origin).toMatch(/@/)
        expect((await caller.call('nothing')).result?.value).toBeNull()
        expect((await caller.call('big', [2_000_000])).result?.value).toHaveLength(2_000_000)
        // Of equal bodies each is a call of its own.
        expect((await caller.call('math.add', [1, 2])).result?.id).not.toBe(first?.id)
        // Tried again here, which Celery's own count does not show.
        expect((await caller.call('fails', ['once'])).result?.value).toBe('at last')
      })

      test('is told of what has failed for good, which ends in the dead letters', async () => {
        expect(await caller.call('fails', ['it'])).toEqual({ error: 'Reject', module: 'celery.exceptions', args: ['refused it'] })
        expect(await caller.call('throws')).toEqual({ error: 'RangeError', module: 'celery.exceptions', args: ['out of range'] })
        expect(await caller.call('math.add', ['1', 2])).toMatchObject({ error: 'ValidationError' })
        expect(await caller.call('unknown')).toMatchObject({
          error: 'CodecError',
          args: [expect.stringContaining('No handler here for "unknown"')],
        })
        expect(await letters()).toBe(4)
      })

      test('waits for the time it names, to the second, and is told of what came too late', async () => {
        const called = Date.now()
        expect((await caller.call('math.add', [2, 2], { options: { countdown: 1.3 } })).result?.value).toBe(4)
        expect(Date.now() - called).toBeGreaterThan(1_250)
        expect(events.filter(({ outcome }) => outcome.type === 'postponed').length).toBeGreaterThan(0)
        expect(events.every(({ outcome, attempt }) => outcome.type !== 'postponed' || attempt === 1)).toBe(true)
        const count = served.length
        // Celery gives the message that expiration too: on SQS we drop it by that.
        const told = where === 'SQS' ? { error: 'TimeoutError' } : { error: 'TaskRevokedError', args: ['expired'] }
        expect(await caller.call('math.add', [2, 2], { options: { expires: -1 }, wait: where === 'SQS' ? 2 : 20 })).toMatchObject(told)
        expect(served).toHaveLength(count)
      })

      test.runIf(where === 'SQS')('is served through a FIFO queue, at its time', async () => {
        const fifo = `${unique('line')}.fifo`
        const numbers: unknown[] = []
        await bus.consume(
          consume(
            queue(fifo, { type: 'classic' }),
            on(task('nth'), ({ args: [n] }) => {
              numbers.push(n)
              return n
            }),
          ),
        )
        for (const n of [1, 2, 3]) await caller.call('nth', [n], { options: { queue: fifo }, wait: 0 })
        expect((await caller.call('nth', [4], { options: { queue: fifo, countdown: 0.5 } })).result?.value).toBe(4)
        expect(numbers).toEqual([1, 2, 3, 4])
      })

      test.runIf(where === 'RabbitMQ')('of protocol 1 is told by the dead letter to use the other', async () => {
        await using old = await startCaller({ ...meeting.python, queue: here, protocol: 1 })
        await old.call('math.add', [1, 2], { wait: 0 })
        await waitFor(() => events.some(({ outcome }) => 'error' in outcome && String(outcome.error).includes('task_protocol = 2')), {
          what: 'the dead letter',
        })
      })
    })
  })
})

test('a task is checked when it is declared and when it is called', async () => {
  expect(() => task('')).toThrow('task("") cannot be used:\n  name: expected a task\'s name of 1 to 255 bytes')
  expect(() => task('x', { args: {} as never, queue: '' })).toThrow(/queue: expected .*\n.*args: expected a Standard Schema/)
  expect(() => on({} as never, () => undefined)).toThrow('expected an event made by event(), or a task made by task()')
  expect(() =>
    consume(
      queue('q'),
      { retry: noRetry },
      on(task('x'), () => 1),
      on(task('x'), () => 2),
    ),
  ).toThrow('two for x')
  await using bus = createBus({ url: 'memory:tasks', onEvent: () => undefined })
  await expect(bus.call({} as never, [])).rejects.toThrow('expected a task made by task()')
  await expect(bus.send(task('x'), 'y' as never)).rejects.toThrow('args: expected a list')
  expect(() => createBus({ results: 'amqp://u:canary@h' })).toThrow(
    'results: expected a URL of Redis (redis:, rediss:, valkey:, valkeys:), got "amqp:"',
  )
})

test('a call whose connection breaks is over at once, and the next one works', async () => {
  await using broker = await startBroker()
  const echo = task('echo', { queue: unique('echo') })
  await using server = createBus({ url: broker.tcpUrl, onEvent: () => undefined })
  const { promise: held, resolve: begun } = Promise.withResolvers<void>()
  let calls = 0
  await server.consume(
    consume(
      queue(echo.queue),
      on(echo, async ({ args }) => {
        if (calls++ > 0) return args[0]
        begun()
        return new Promise(() => undefined)
      }),
    ),
  )
  await using bus = createBus({ url: broker.tcpUrl, onEvent: () => undefined })
  const broken = expect(bus.call(echo, ['a'])).rejects.toMatchObject({ name: 'RequestError', reason: 'lost' })
  await held
  await broker.kill()
  await broken
  await broker.start()
  await using fresh = createBus({ url: broker.tcpUrl, onEvent: () => undefined })
  await fresh.consume(
    consume(
      queue(echo.queue),
      on(echo, ({ args }) => args[0]),
    ),
  )
  expect(await bus.call(echo, ['b'])).toBe('b')
  await server.close({ deadlineMs: 100 })
})

test.runIf(hasRedis())('a result in Redis outlives a broken connection, and is there for the time Celery gives it', async () => {
  await using redis = await startRedis()
  await using broker = await startBroker()
  const echo = task('echo', { queue: unique('echo') })
  const [held, begun] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const options = { url: broker.tcpUrl, results: redis.url, onEvent: () => undefined }
  await using server = createBus(options)
  await server.consume(
    consume(
      queue(echo.queue),
      on(echo, async ({ args }) => {
        begun.resolve()
        await held.promise
        return args[0]
      }),
    ),
  )
  await using bus = createBus(options)
  const called = bus.call(echo, ['a'], { id: 'call-1' })
  await begun.promise
  await redis.kill()
  await redis.start()
  held.resolve()
  expect(await called).toBe('a')
  expect(JSON.parse(String(await redis.command('GET', 'celery-task-meta-call-1')))).toMatchObject({
    task_id: 'call-1',
    status: 'SUCCESS',
    result: 'a',
  })
  expect(Number(await redis.command('TTL', 'celery-task-meta-call-1'))).toBeGreaterThan(86_000)
  await expect(bus.call(echo, ['b'], { id: 'call-1' })).rejects.toThrow('an id that no call has had before')
})
