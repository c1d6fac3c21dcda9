/** Where a CPU profile was most of the time, in a few words: what a thread host and the master say of a loop. */
import { fileURLToPath } from 'node:url'

/** V8's format, a `.cpuprofile` file as browsers' developer tools open it; what is read of it. */
export interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  /** Ids of nodes. */
  readonly samples?: readonly number[]
}

interface ProfileNode {
  readonly id: number
  /** The line is that of the function's head, from 0. */
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  readonly children?: readonly number[]
  /** Lines of the function's body, from 1; 0 where V8 does not know. */
  readonly positionTicks?: readonly { readonly line: number; readonly ticks: number }[]
}

export interface Hottest {
  /** The innermost first, each `name (file:line)`: of the first the line it was at, of its callers that of their heads. */
  readonly stack: readonly string[]
  /** Share of the time it collected garbage, in percent: near 100 is a heap that is full. */
  readonly garbagePercent: number
}

const MOST_FRAMES = 10
/** What is rarer is not what it hangs in: its own heartbeat in a loop that is idle. */
const LEAST_SHARE = 0.1
/** From here on it is the heap that is at fault, whatever code fills it. */
const FULL_PERCENT = 50
const GARBAGE = '(garbage collector)'

/** Of a process that has no code at work, the stack is empty. */
export function hottest({ nodes, samples = [] }: CpuProfile): Hottest {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const callers = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node] as const)))
  const counts = new Map<number, number>()
  for (const id of samples) counts.set(id, (counts.get(id) ?? 0) + 1)
  const inOrder = [...counts].toSorted(([, a], [, b]) => b - a).flatMap(([id]) => byId.get(id) ?? [])
  const garbage = inOrder.filter(({ callFrame }) => callFrame.functionName === GARBAGE)
  const garbageCount = garbage.reduce((sum, { id }) => sum + (counts.get(id) ?? 0), 0)
  const often = inOrder.filter(({ id }) => (counts.get(id) ?? 0) >= samples.length * LEAST_SHARE)
  // V8's own states, `(program)` and the like, have no file. Node's internals count where there is nothing else: they run the top level of
  // modules, which has no frame of its own.
  const isShown = [isUsers, isCode].find((is) => often.some(({ callFrame }) => is(callFrame.url))) ?? isCode
  const stack: string[] = []
  let node = often.find(({ callFrame }) => isShown(callFrame.url))
  for (let line = node && hottestLine(node); node && stack.length < MOST_FRAMES; node = callers.get(node.id), line = undefined) {
    const { functionName, url, lineNumber } = node.callFrame
    if (isShown(url)) stack.push(`${functionName || '(anonymous)'} (${pathOf(url)}:${line || Math.max(1, lineNumber + 1)})`)
  }
  return { stack, garbagePercent: samples.length === 0 ? 0 : Math.round((garbageCount / samples.length) * 100) }
}

/** `, in spin (/app/web.ts:10)`; empty where it is nowhere in particular. */
export function placeOf({ stack: [place], garbagePercent }: Hottest): string {
  if (garbagePercent >= FULL_PERCENT) return `, collecting garbage ${garbagePercent} % of the time`
  return place === undefined ? '' : `, in ${place}`
}

const isCode = (url: string): boolean => url !== ''
const isUsers = (url: string): boolean => isCode(url) && !url.startsWith('node:')

function hottestLine({ positionTicks = [] }: ProfileNode): number | undefined {
  return positionTicks.toSorted((a, b) => b.ticks - a.ticks)[0]?.line
}

function pathOf(url: string): string {
  try {
    return url.startsWith('file:') ? fileURLToPath(url) : url
  } catch {
    return url
  }
}
