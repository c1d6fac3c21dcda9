import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test as base } from 'vitest'
import { connect, createBus, type Bus } from '../../src/index.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { configWith, consumersConfig, fixture, startChild, type Child } from './child.ts'
import { contractOf, type Contract, type Job } from './fixtures/consumers/contract.ts'

const work = fixture('consumers/work.ts')
const newFile = (): string => join(tempDir('once'), 'done')
const handledIds = (child: Child): string[] => [...child.output().matchAll(/^handled (\S+)/gm)].map(([, id]) => id ?? '')
const handlingThreads = (child: Child): Set<string> =>
  new Set([...child.output().matchAll(/^handled .* (thread \d+)/gm)].map(([, thread]) => thread ?? ''))

// Both brokers keep the same promises at a stop; threads are the host's own business.
describe.each([
  ['the built-in broker', true, builtinBroker],
  ['RabbitMQ', hasRabbit(), async () => ({ url: await sharedRabbit(), async [Symbol.asyncDispose]() {} })],
])('consumers on %s', (name, available, open) => {
  const test = base.runIf(available)
  const threads = base.runIf(name === 'the built-in broker')
  let broker: Broker
  let url: string
  let bus: Bus

  beforeAll(async () => {
    if (!available) return
    broker = await open()
    url = broker.url
    bus = createBus({ url })
  })
  afterAll(async () => {
    await bus?.close()
    await broker?.[Symbol.asyncDispose]()
  })

  interface Scene {
    readonly contract: Contract
    readonly start: (settings?: Parameters<typeof consumersConfig>[1], env?: Record<string, string>) => Child
    readonly publish: (job: Job) => Promise<void>
    /** Messages that are ready in the queue. */
    readonly waiting: () => Promise<number>
  }

  /** A queue of the test's own, there before its consumer is. */
  async function scene(): Promise<Scene> {
    const name = `t${randomBytes(6).toString('hex')}`
    const contract = contractOf(name)
    await using connection = disposable(connect(url))
    await connection.declare(contract.Job.exchange, contract.jobs)
    return {
      contract,
      start(settings, env) {
        const child = startChild('consumers', { env: { OMNIBUS_BUS_URL: url, TEST_NAME: name, ...env } })
        child.send({ type: 'start', unit: 'work.1', consumer: 'work', config: consumersConfig(work, settings) })
        return child
      },
      publish: async (job) => void (await bus.publish(contract.Job, job)),
      async waiting() {
        await using inspecting = disposable(connect(url))
        return (await inspecting.inspect(contract.jobs.name)).messages
      },
    }
  }

  test('ready is loaded and connected; only "activate" subscribes', async () => {
    const { start, publish } = await scene()
    await publish({ id: 'early' })
    await using child = start()
    await child.message('ready')
    await waitFor(() => child.status()?.connected === true, { what: 'a beat that tells it is connected' })
    expect(child.status()).toMatchObject({ subscribed: false, inFlight: 0 })
    expect(child.output()).not.toContain('began')
    child.send({ type: 'activate' })
    await waitFor(() => handledIds(child).includes('early'), { what: 'the message that waited' })
    await waitFor(() => child.status()?.subscribed === true, { what: 'a beat that tells it is subscribed' })
    await waitFor(() => child.status()?.sinceProgressMs !== undefined && child.status()?.inFlight === 0, {
      what: 'a beat that tells it is done',
    })
    expect(child.status()).not.toHaveProperty('oldestMs')
    expect(await child.stop()).toEqual({ code: 0, signal: null })
  })

  test('a stop finishes what is held, and leaves the rest to others', async () => {
    const { start, publish, waiting } = await scene()
    await using child = start()
    await child.message('ready')
    child.send({ type: 'activate' })
    for (const id of ['a', 'b', 'c', 'd']) await publish({ id, do: 'slow', ms: 1_500 })
    await waitFor(() => child.status()?.inFlight === 2, { what: 'two deliveries in flight' })
    await waitFor(() => child.status()?.lag === 2, { what: 'a beat that tells of the two that wait' })
    expect(child.status()?.oldestMs).toBeGreaterThan(0)
    expect(child.status()).not.toHaveProperty('sinceProgressMs')
    expect(await child.stop({ deadlineMs: 10_000 })).toEqual({ code: 0, signal: null })
    expect(handledIds(child).toSorted()).toEqual(['a', 'b'])
    await waitFor(async () => (await waiting()) === 2, { what: 'two messages left' })
  })

  test('what cannot be finished by the deadline is given back and named', async () => {
    const { start, publish, waiting } = await scene()
    await using child = start()
    await child.message('ready')
    child.send({ type: 'activate' })
    await publish({ id: 'long', do: 'slow', ms: 60_000 })
    await waitFor(() => child.status()?.inFlight === 1, { what: 'a delivery in flight' })
    expect(await child.stop({ deadlineMs: 2_000 })).toEqual({ code: 75, signal: null })
    expect(child.output()).toMatch(/cut off: 1 message given back unhandled: [\da-f-]{36}"/)
    await waitFor(async () => (await waiting()) === 1, { what: 'the message to be back' })
  })

  threads('threads: each instance works, and the host tells of all', async () => {
    const { start, publish } = await scene()
    await using child = start({ kind: 'thread', instances: 3 })
    await child.message('ready')
    expect(child.output().match(/^loaded in thread/gm)).toHaveLength(3)
    child.send({ type: 'activate' })
    await waitFor(() => child.status()?.subscribed === true, { what: 'all subscriptions' })
    for (let i = 0; i < 6; i++) await publish({ id: `j${i}`, do: 'slow', ms: 1_500 })
    await waitFor(() => child.status()?.inFlight === 6, { what: 'two deliveries in flight in each' })
    await waitFor(() => child.status()?.handled === 6, { what: 'the host to count them all' })
    expect(await child.stop({ deadlineMs: 10_000 })).toEqual({ code: 0, signal: null })
    expect(handledIds(child).toSorted()).toEqual(['j0', 'j1', 'j2', 'j3', 'j4', 'j5'])
    expect(handlingThreads(child).size).toBe(3)
  })

  threads.each(['throw-later', 'exit', 'block'] as const)(
    'a thread that ends by "%s" is replaced, and its message handled',
    async (how) => {
      const { start, publish } = await scene()
      await using child = start({ kind: 'thread', instances: 1, heartbeatTimeoutMs: 1_500 })
      await child.message('ready')
      child.send({ type: 'activate' })
      await publish({ id: 'bad', do: how, once: newFile() })
      await waitFor(() => handledIds(child).includes('bad'), { what: `the replacement to handle it\n${child.output()}` })
      await publish({ id: 'next' })
      await waitFor(() => handledIds(child).includes('next'), { what: 'the next message' })
      expect(child.output().match(/^loaded in thread/gm)).toHaveLength(2)
      const told = { 'throw-later': /crashed on purpose.*work\.ts:\d+/, exit: /exit code 3/, block: /silent for 1500 ms/ }[how]
      expect(child.output()).toMatch(told)
      expect(await child.stop()).toEqual({ code: 0, signal: null })
    },
  )

  threads('a thread is not silent while it loads', async () => {
    const { start } = await scene()
    await using child = start({ kind: 'thread', heartbeatTimeoutMs: 500 }, { LOAD_MS: '2000' })
    await child.message('ready')
    expect(child.output().match(/^loaded in thread/gm)).toHaveLength(1)
    expect(await child.stop()).toEqual({ code: 0, signal: null })
  })

  threads('a thread that not even terminating ends takes its host along', async () => {
    const { start, publish } = await scene()
    await using child = start({ kind: 'thread', heartbeatTimeoutMs: 1_000 })
    await child.message('ready')
    child.send({ type: 'activate' })
    await publish({ id: 'stuck', do: 'stuck' })
    expect(await child.exit()).toEqual({ code: null, signal: 'SIGKILL' })
    expect(child.output()).toMatch(/silent for 1000 ms/)
  })

  threads('a thread that ends again and again ends the host', async () => {
    const { start, publish } = await scene()
    await using child = start({ kind: 'thread', instances: 2 })
    await child.message('ready')
    child.send({ type: 'activate' })
    for (let i = 0; i < 10; i++) await publish({ id: `bad${i}`, do: 'exit' })
    expect((await child.message('failed')).message).toMatch(/work\.1\.[12] ended 5 times; last: exit code 3/)
    expect(await child.exit()).toEqual({ code: 70, signal: null })
  })
})

interface Broker extends AsyncDisposable {
  readonly url: string
}

/** As a unit, which is what the supervisor runs. */
async function builtinBroker(): Promise<Broker> {
  const data = tempDir('data')
  const child = startChild('broker')
  child.send({ type: 'start', unit: 'broker', config: configWith({ bus: { urls: [], builtin: true, data } }) })
  await child.message('ready')
  return {
    url: `${pathToFileURL(data).href.replace(/^file:/, 'omnibus:')}?spawn=false`,
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

function disposable<T extends { close(): Promise<void> }>(value: T): T & AsyncDisposable {
  return Object.assign(value, { [Symbol.asyncDispose]: () => value.close() })
}

base.each(['process', 'thread'] as const)('an unreachable broker is waited for, which the beats tell (%s)', async (kind) => {
  await using child = startChild('consumers', { env: { OMNIBUS_BUS_URL: 'amqp://127.0.0.1:1' } })
  child.send({ type: 'start', unit: 'work.1', consumer: 'work', config: consumersConfig(work, { kind }) })
  await waitFor(() => child.status()?.connected === false, { what: 'a beat that tells it is not connected' })
  expect(await child.stop()).toEqual({ code: 0, signal: null })
  expect(child.messages.some(({ type }) => type === 'ready' || type === 'failed')).toBe(false)
})

base.each(['process', 'thread'] as const)('an entry without consumers says what it exports (%s)', async (kind) => {
  await using child = startChild('consumers', { env: { OMNIBUS_BUS_URL: 'memory:' } })
  child.send({ type: 'start', unit: 'work.1', consumer: 'work', config: consumersConfig(fixture('web/nonsense.mjs'), { kind }) })
  expect(await child.message('failed')).toMatchObject({
    message: expect.stringMatching(
      /consumers\.work\.entry .*nonsense\.mjs exports default\. Expected what consume\(\) or broadcast\(\) returns/,
    ),
    config: false,
  })
  expect(await child.exit()).toEqual({ code: 70, signal: null })
})
