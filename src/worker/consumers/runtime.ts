/** One instance of a consumer: its entry loaded, its bus, its subscriptions. Runs in a process or in a thread alike. */
import type { RunningConsumer } from '../../bus/running-consumer.ts'
import { type ConsumerDefinition, isConsumerDefinition, isSingle } from '../../bus/consume.ts'
import { ClosedError, messageOf, WorkerError } from '../../core/errors.ts'
import { createBus } from '../../index.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { deadlineIn, unlessAborted, within, type Deadline } from '../deadline.ts'
import { exportNames, loadEntry, type Exports } from '../entry.ts'
import type { Log } from '../log.ts'
import { countOutcomes } from './outcomes.ts'
import { combined, lagOf, progressOf } from './progress.ts'
import { hostResources, untilConnected } from '../resources.ts'
import { consumerSettings } from '../settings.ts'
import type { StartMessage, Unit, UnitContext } from '../unit.ts'

// Of the stop budget: giving back and flushing come after the handlers.
const SHARE_AFTER_HANDLERS = 0.1
const ABORT_CLOSE_MS = 1_000
// In one line of the log.
const MOST_IDS = 20

/**
 * Resolves when loaded and connected; rejects when it never can be. Its status is reported as soon as the entry is loaded, since
 * connecting may take long.
 */
export async function openConsumer(message: StartMessage, { log, signal, report, hooks, preloaded }: UnitContext): Promise<Unit> {
  const { name, settings } = consumerSettings(message)
  const { entry } = settings
  const resources = hostResources(log, preloaded)
  const option = `consumers.${name}.entry`
  try {
    const definitions = definitionsIn(await unlessAborted(signal, loadEntry(option, entry)), option, entry)
    // Registers itself with the resources, as every bus of the entry does.
    const bus = createBus({ source: name })
    const running: RunningConsumer[] = []
    const lag = lagOf(() => running)
    const outcomes = countOutcomes()
    let subscribed = false
    const status = (): UnitStatus => ({
      connected: resources.connected() === true,
      subscribed: subscribed && running.every((consumer) => consumer.subscribed),
      single: definitions.some(isSingle),
      ...combined([...running.map(progressOf), lag.counted, outcomes]),
    })
    report(status)
    await unlessAborted(
      signal,
      untilConnected(() => bus.ready()),
    )
    await hooks.run('postWorkerInit', {})
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
      async stop(_reason, deadline) {
        lag.unwatch()
        const budget = deadline.leaving(SHARE_AFTER_HANDLERS)
        const givenBack = await Promise.all(running.map((consumer) => stopConsumer(consumer, budget, log)))
        const unclosed = await resources.close(deadline)
        const left = givenBack.reduce((sum, count) => sum + count, 0)
        const ids = running.flatMap((consumer) => consumer.inHand)
        return [...(left > 0 ? [`${left} message${left === 1 ? '' : 's'} given back unhandled${naming(ids)}`] : []), ...unclosed]
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

/** `: a, b and 3 more`; empty where nothing is known of them. */
function naming(ids: readonly string[]): string {
  if (ids.length === 0) return ''
  const rest = ids.length - MOST_IDS
  return `: ${ids.slice(0, MOST_IDS).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
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
