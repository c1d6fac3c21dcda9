/** Answers `omnibus logs`. */
import type { Asker } from '../control.ts'
import type { ControlRequest } from '../control-protocol.ts'
import type { Status } from '../status.ts'
import type { LogRing } from './ring.ts'

export function answerLogs(ring: LogRing, { units }: Status, request: Extract<ControlRequest, { verb: 'logs' }>, asker: Asker): void {
  const { unit, lines, follow } = request
  const names = new Set(['master', ...units.flatMap((report) => [report.unit, report.label])])
  if (unit !== undefined && !names.has(unit)) {
    return asker.reply({ ok: false, error: `there is no unit ${JSON.stringify(unit)}; there are ${[...names].join(', ')}` })
  }
  const wants = (label: string): boolean => unit === undefined || label === unit || label.startsWith(`${unit}.`)
  asker.reply({ ok: true, message: 'Log', log: ring.last(lines, wants) })
  if (!follow) return

  let missed = 0
  const owed = (): { missed?: number } => {
    const before = missed
    missed = 0
    return before === 0 ? {} : { missed: before }
  }
  const stop = ring.listen((label, added, before) => {
    if (!wants(label)) return
    missed += before
    // Nobody waits for a slow reader, but it is told.
    if (asker.isBehind) missed += added.length
    else asker.reply({ ok: true, message: 'More', ...owed(), log: added.map((line) => ({ unit: label, line })) })
  })
  asker.onDrain(() => missed > 0 && asker.reply({ ok: true, message: 'More', ...owed(), log: [] }))
  asker.onClose(stop)
}
