/** The forward host: sends the messages of one queue to one URL. No user code runs here. */
import { isSingle } from '../../bus/consume.ts'
import type { ResolvedForward } from '../../config/forward.ts'
import { ConfigError, messageOf, TopologyError, UnsupportedError } from '../../core/errors.ts'
import { createBus } from '../../index.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'
import { countOutcomes } from '../consumers/outcomes.ts'
import { lagOf, progressOf } from '../consumers/progress.ts'
import { deadlineIn, unlessAborted, within } from '../deadline.ts'
import { hostResources, untilConnected } from '../resources.ts'
import type { RoleHost, StartMessage, Unit, UnitContext } from '../unit.ts'
import { createForwarder } from './forwarder.ts'

// Of the stop budget: giving back and flushing come after the last request.
const SHARE_AFTER_REQUESTS = 0.1
const ABORT_CLOSE_MS = 1_000

export function forwardHost(): RoleHost {
  return { start }
}

async function start(message: StartMessage, { log, signal, report, fail }: UnitContext): Promise<Unit> {
  const { name, settings } = settingsOf(message)
  const resources = hostResources(log)
  try {
    const bus = createBus({ source: name, declares: [settings.queue] })
    const forwarder = createForwarder({ settings, bus, log })
    const outcomes = countOutcomes()
    const lag = lagOf(() => (forwarder.running ? [forwarder.running] : []))
    const status = (): UnitStatus => ({
      connected: resources.connected() === true,
      subscribed: forwarder.subscribed,
      single: isSingle(forwarder.definition),
      ...(forwarder.running ? progressOf(forwarder.running) : { inFlight: 0 }),
      ...lag.counted,
      ...outcomes,
    })
    report(status)
    await unlessAborted(
      signal,
      untilConnected(() => bus.ready()),
    )
    return {
      status,
      async activate() {
        lag.watch()
        forwarder.run().catch((error: unknown) => fail(explained(error, name, settings)))
      },
      async stop(_reason, deadline) {
        lag.unwatch()
        const budgetMs = deadline.leaving(SHARE_AFTER_REQUESTS).remainingMs()
        let left = 0
        const stopped = await within(
          budgetMs + ABORT_CLOSE_MS,
          forwarder.stop(budgetMs).then((count) => (left = count)),
        )
        const unclosed = await resources.close(deadline)
        return [
          ...(stopped ? [] : ['requests']),
          ...(left > 0 ? [`${left} message${left === 1 ? '' : 's'} given back unsent`] : []),
          ...unclosed,
        ]
      },
    }
  } catch (error) {
    await resources.close(deadlineIn(ABORT_CLOSE_MS))
    throw explained(error, name, settings)
  }
}

function settingsOf({ config, forward: name }: StartMessage): { name: string; settings: ResolvedForward } {
  const settings = name === undefined ? undefined : config.forward[name]
  if (name === undefined || settings === undefined) throw new TypeError(`a forward unit needs the name of one, got ${String(name)}`)
  return { name, settings }
}

/** The queue exists with other arguments, or no such queue can be there: no further start can help. */
function explained(error: unknown, name: string, { queue }: ResolvedForward): unknown {
  const refuse = (expected: string, got: string): ConfigError =>
    new ConfigError('The configuration', [{ path: `forward.${name}.queue`, expected, got }])
  if (error instanceof UnsupportedError) return refuse('a queue that this broker can have', messageOf(error))
  if (!(error instanceof TopologyError) || error.replyCode !== 406) return error
  const given = [`type ${queue.type}`, ...Object.entries(queue.arguments).map(([key, value]) => `${key} ${String(value)}`)].join(', ')
  return refuse(`the queue ${JSON.stringify(queue.name)} as it exists`, `${given}: ${messageOf(error)}`)
}
