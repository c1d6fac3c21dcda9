/** Writes what the buses of this thread report: every message that was not handled, and each loss of the broker once. */
import { subscribe } from 'node:diagnostics_channel'
import type { BusEvent } from '../bus/bus.ts'
import { messageOf } from '../core/errors.ts'
import type { Log } from './log.ts'

/** Call once per thread, before any user code loads. */
export function logBuses(log: Log): void {
  let away = false
  subscribe('omnibus:bus', (message) => {
    const event = message as BusEvent
    if (event.type === 'message') return logMessage(log, event)
    if (event.type === 'relay') return logRelay(log, event)
    const { event: what } = event
    if (what.type === 'up') {
      if (away) log.write('info', 'connected to the bus again')
      away = false
    } else if (what.type === 'down') {
      // It is tried again and again; the first time is news, the hundredth is not.
      log.write(away ? 'debug' : 'warn', `not connected to the bus: ${messageOf(what.error)}`)
      away = true
    } else if ('error' in what) log.write('warn', `bus ${what.type}: ${messageOf(what.error)}`, { error: what.error })
    else if ('reason' in what) log.write('warn', `bus ${what.type}: ${what.reason}`)
    else log.write('info', `bus ${what.type}`)
  })
}

function logMessage(log: Log, { outcome, queue, id, attempt, event }: Extract<BusEvent, { type: 'message' }>): void {
  if (outcome.type === 'handled') return
  if (outcome.type === 'duplicate') return log.write('debug', `${event} ${id} was handled before`, { queue, attempt })
  const level = outcome.type === 'postponed' ? 'debug' : outcome.type === 'retried' ? 'warn' : 'error'
  log.write(level, `${event} ${id} was ${outcome.type}: ${messageOf(outcome.error)}`, { queue, attempt, error: outcome.error })
}

function logRelay(log: Log, { error, refused }: Extract<BusEvent, { type: 'relay' }>): void {
  if (refused === undefined) log.write('warn', `the outbox is kept: ${messageOf(error)}`, { error })
  else log.write('error', `${refused} is put aside in the outbox: ${messageOf(error)}`, { error })
}
