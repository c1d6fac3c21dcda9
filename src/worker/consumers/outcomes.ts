/** Counts what became of the messages that the buses of this thread have had. */
import { subscribe } from 'node:diagnostics_channel'
import type { BusEvent } from '../../bus/bus.ts'
import type { UnitStatus } from '../../supervisor/protocol.ts'

export type Outcomes = Required<Pick<UnitStatus, 'handled' | 'retried' | 'deadLettered'>>

/** From now on. */
export function countOutcomes(): Readonly<Outcomes> {
  const counted = { handled: 0, retried: 0, deadLettered: 0 }
  subscribe('omnibus:bus', (message) => {
    const event = message as BusEvent
    if (event.type !== 'message') return
    if (event.outcome.type === 'handled') counted.handled++
    else if (event.outcome.type === 'retried') counted.retried++
    else if (event.outcome.type === 'dead-lettered') counted.deadLettered++
  })
  return counted
}
