/** One instance of a consumer: its entry loaded, its bus, its subscriptions. Runs in a process or in a thread alike. */
import type { RunningConsumer } from '../../bus/bus.ts'
import { type ConsumerDefinition, isConsumerDefinition, isSingle } from '../../bus/consume.ts'
import { ClosedError, messageOf, WorkerError } from '../../core/errors.ts'
import { createBus } from '../../index.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { deadlineIn, unlessAborted, within, type Deadline } from '../deadline.ts'
import { exportNames, loadEntry, type Exports } from '../entry.ts'
import type { Log } from '../log.ts'
import { combined, lagOf, progressOf } from './progress.ts'
import { hostResources, untilConnected } from '../resources.ts'

export interface InstanceOptions {
  /** The consumer's name in the config. */
  readonly name: string
  readonly entry: string
  readonly log: Log
  /** Aborting gives up starting; everything is closed then. */
  readonly signal: AbortSignal
  /** Given what the status can be read from as soon as the entry is loaded, since connecting may take long. */
  readonly report: (status: () => UnitStatus) => void
}

export interface Instance {
  readonly status: () => UnitStatus
  /** Subscribes. */
  readonly activate: () => Promise<void>
  /** Resolves by the deadline with what had to be cut off. */
  stop(deadline: Deadline): Promise<readonly string[]>
}

// Of the stop budget: giving back and flushing come after the handlers.
const SHARE_AFTER_HANDLERS = 0.1
const ABORT_CLOSE_MS = 1_000

/** Resolves when loaded and connected; rejects when it never can be. */
export async function openInstance({ name, entry, log, signal, report }: InstanceOptions): Promise<Instance> {
  const resources = hostResources(log)
  const option = `consumers.${name}.entry`
  try {
    const definitions = definitionsIn(await unlessAborted(signal, loadEntry(option, entry)), option, entry)
    // Registers itself with the resources, as every bus of the entry does.
    const bus = createBus({ source: name })
    const running: RunningConsumer[] = []
    const lag = lagOf(running)
    let subscribed = false
    const status = (): UnitStatus => ({
      connected: resources.connected() === true,
      subscribed: subscribed && running.every((consumer) => consumer.subscribed),
      single: definitions.some(isSingle),
      ...combined([...running.map(progressOf), lag.counted]),
    })
    report(status)
    await unlessAborted(
      signal,
      untilConnected(() => bus.ready()),
    )
    return {
      status,
      async activate() {
        try {
          for (const definition of definitions) running.push(await untilConnected(() => bus.consume(definition)))
          subscribed = true
          lag.watch()
        } catch (error) {
          // Closed by a stop that came first.
          if (!(error instanceof ClosedError)) throw error
        }
      },
      async stop(deadline) {
        lag.unwatch()
        const budget = deadline.leaving(SHARE_AFTER_HANDLERS)
        const givenBack = await Promise.all(running.map((consumer) => stopConsumer(consumer, budget, log)))
        const unclosed = await resources.close(deadline)
        const left = givenBack.reduce((sum, count) => sum + count, 0)
        return [...(left > 0 ? [`${left} message${left === 1 ? '' : 's'} given back unhandled`] : []), ...unclosed]
      },
    }
  } catch (error) {
    await resources.close(deadlineIn(ABORT_CLOSE_MS))
    throw error
  }
}

/** Every definition the module exports: by default, by name, or in arrays of either; each once. */
export function definitionsIn(exports: Exports, option: string, entry: string): readonly ConsumerDefinition[] {
  const found = new Set<ConsumerDefinition>()
  const visit = (value: unknown): void => {
    if (isConsumerDefinition(value)) found.add(value)
    else if (Array.isArray(value)) value.forEach(visit)
  }
  for (const value of Object.values(exports)) {
    visit(value)
    // CommonJS: what `import()` calls the default is the whole of module.exports.
    if (typeof value === 'object' && value !== null) Object.values(value).forEach(visit)
  }
  if (found.size > 0) return [...found]
  throw new WorkerError(
    `${option} ${entry} exports ${exportNames(exports)}. Expected what consume() or broadcast() returns, or an array of them, as its default or a named export.`,
  )
}

async function stopConsumer(consumer: RunningConsumer, deadline: Deadline, log: Log): Promise<number> {
  const deadlineMs = deadline.remainingMs()
  const held = consumer.inFlight
  try {
    const stopping = consumer.stop({ deadlineMs })
    return (await within(deadlineMs + 500, stopping)) ? await stopping : held
  } catch (error) {
    log.write('error', `stopping a consumer failed: ${messageOf(error)}`, { error })
    return held
  }
}
