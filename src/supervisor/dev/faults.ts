/** Errors of the user's code under `omnibus dev`: told once in the log, and on the pages of the web app while they last. */
import { relative } from 'node:path'
import type { Fault, UnitFault } from '../protocol.ts'
import { type Child, log, type State } from '../state.ts'
import { CONFIG, type Dev, graphName } from './dev.ts'

/** Those that concern pages: a consumer's own do not. */
const SHOWN = [CONFIG, 'web']

export function onFault(state: State, dev: Dev, child: Child, fault: Fault): void {
  const name = graphName(child)
  const { root } = state.options
  const place = fault.place && ` (${shorten(fault.place.file, root)}:${fault.place.line})`
  child.reason ??= `${child.phase === 'ready' ? 'failed' : 'does not load'}${place ?? ''}`
  dev.faults.set(name, fault)
  const text = JSON.stringify(fault)
  if (dev.told.has(text)) return
  dev.told.add(text)
  const err = { type: fault.name, message: fault.message, stack: faultText(fault, root) }
  log(state, 'error', `${fault.name}: ${fault.message}`, { unit: child.label, pid: child.pid, err })
  tell(state, dev)
}

/** What it was started with loads. */
export function faultMended(state: State, dev: Dev, child: Child): void {
  if (dev.faults.delete(graphName(child))) tell(state, dev)
}

/** To a web worker that has just begun to answer. */
export function tellFaults(state: State, dev: Dev, child: Child): void {
  if (child.unit.stage === 'web') state.commands.push({ type: 'send', child: child.id, message: { type: 'faults', faults: shown(dev) } })
}

function tell(state: State, dev: Dev): void {
  for (const child of state.children.values()) if (child.phase === 'ready') tellFaults(state, dev, child)
}

function shown({ faults }: Dev): UnitFault[] {
  return [...faults].filter(([unit]) => SHOWN.includes(unit)).map(([unit, fault]) => ({ unit, ...fault }))
}

/** The place, the lines around it, and the way there. */
export function faultText({ place, source, stack }: Fault, root: string): string {
  const lines: string[] = []
  if (place) lines.push(`${shorten(place.file, root)}:${place.line}${place.column === undefined ? '' : `:${place.column}`}`, '')
  if (place && source) {
    const width = String(source.first + source.lines.length).length
    for (const [index, text] of source.lines.entries()) {
      const number = source.first + index
      const isPlace = number === place.line
      lines.push(`${isPlace ? '>' : ' '} ${String(number).padStart(width)} | ${text}`.trimEnd())
      if (isPlace && place.column !== undefined) {
        lines.push(`  ${' '.repeat(width)} | ${text.slice(0, place.column - 1).replaceAll(/[^\t]/g, ' ')}^`)
      }
    }
    lines.push('')
  }
  // One frame alone is the place itself.
  if (stack.length > 1 || !place) lines.push(...stack.map((frame) => `at ${frame.replaceAll(`${root}/`, '')}`), '')
  return lines.join('\n')
}

const shorten = (file: string, root: string): string => (file.startsWith(`${root}/`) ? relative(root, file) : file)
