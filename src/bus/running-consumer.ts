/** A consumer at work, as whoever runs it sees it. */
import { systemClock } from '../core/clock.ts'
import type { Consumer } from '../core/consumer.ts'
import { ClosedError } from '../core/errors.ts'
import type { Pipeline } from './pipeline.ts'

export interface RunningConsumer {
  /** Its subscription is in place. */
  readonly subscribed: boolean
  readonly inFlight: number
  /** Ids of the messages in hand, at work or waiting for their turn, the oldest first. */
  readonly inHand: readonly string[]
  /** How long the oldest delivery has been at work; undefined where there is none. Milliseconds. */
  readonly oldestMs: number | undefined
  /** Since a delivery was last done with; undefined where none was. Milliseconds. */
  readonly sinceProgressMs: number | undefined
  /** Messages that wait in its queue; undefined where the queue is this consumer's alone. Rejects with `ConnectionError`, `TopologyError`. */
  lag(): Promise<number | undefined>
  /**
   * Cancels, finishes what it holds, and at the deadline aborts the handlers' signals and gives back the rest. Resolves
   * with the number given back. May be called twice.
   */
  stop(options?: { readonly deadlineMs?: number }): Promise<number>
}

/** Aborted handlers get this long to end by themselves before their messages are given back. Milliseconds. */
const LAST_WORDS_MS = 500

interface Running {
  readonly consumer: Consumer
  readonly pipeline: Pipeline
  readonly lag: RunningConsumer['lag']
  readonly stopping: AbortController
  readonly onStopped: () => void
}

export function runningConsumer({ consumer, pipeline, lag, stopping, onStopped }: Running): RunningConsumer {
  let stopped: Promise<number> | undefined
  const stop = async (deadlineMs: number): Promise<number> => {
    const timer = systemClock.after(Math.max(0, deadlineMs - LAST_WORDS_MS), () =>
      stopping.abort(new ClosedError('The consumer is stopping')),
    )
    pipeline.close()
    const left = await consumer.stop({ deadlineMs })
    timer.cancel()
    onStopped()
    return left
  }
  return {
    get subscribed() {
      return consumer.subscribed
    },
    get inFlight() {
      return consumer.inFlight
    },
    get inHand() {
      return pipeline.inHand
    },
    get oldestMs() {
      return pipeline.oldestMs
    },
    get sinceProgressMs() {
      return pipeline.sinceProgressMs
    },
    lag,
    stop: ({ deadlineMs = 25_000 } = {}) => (stopped ??= stop(deadlineMs)),
  }
}
