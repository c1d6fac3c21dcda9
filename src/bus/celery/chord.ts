/**
 * Chords: when all tasks of a group are over, the body is sent with their results. Whoever ends the last one sends it, of Celery's workers and ours, and
 * who that is the store of results tells: each result is added to the parts there, and the one that makes them complete is the last.
 */
import { Final } from '../outcome.ts'
import { answer, askerFor, PUT_MS, storeOf } from './answer.ts'
import { type ChordPart, chordPartIn } from './message.ts'
import { type NextWays, sendNext } from './next.ts'
import { failureOf, type TaskResult } from './result.ts'
import { type Signature, signatureIn, tasksOf } from './signature.ts'

/** How a task ended, or what was to come after it. */
interface Ending {
  readonly told: TaskResult
  readonly rootId: string | undefined
}

/** Resolves when the result is counted and, if it was the last, when the body is sent, or those who wait for it know that it never will be. */
export async function addToChord(ways: NextWays, { group, index, body }: ChordPart, { told, rootId }: Ending): Promise<void> {
  const { task_id: id, status, result } = told
  const store = storeOf(ways)
  const parts = await store.addPart(group, { text: JSON.stringify([1, id, status, result]), index }, PUT_MS)
  if (parts === undefined) return
  try {
    if (parts.structured) throw chordError('Its header is of more than tasks and chains of tasks, and the last of them was one of ours')
    const results = parts.texts.map(resultIn)
    await sendNext(ways, [body], { parent: { id, rootId }, given: results, reason: 'chord' })
  } catch (error) {
    if (!(error instanceof Final)) throw error
    await tellChordError(ways, body, { error, rootId })
  }
  await store.forgetParts(group, PUT_MS)
}

/** Throws `Final` for one that is none, and for what Celery has written otherwise than in JSON. */
function resultIn(text: string): unknown {
  let part: unknown
  try {
    part = JSON.parse(text)
  } catch {
    throw chordError('A part of it is not JSON: result_serializer has to be')
  }
  const [, id, status, result] = Array.isArray(part) ? (part as unknown[]) : []
  if (status === 'SUCCESS') return result
  const { exc_type: type, exc_message: message } = (result ?? {}) as { exc_type?: unknown; exc_message?: unknown }
  const args = (Array.isArray(message) ? message : [message]).map(repr).join(', ')
  throw chordError(`Dependency ${String(id)} raised ${String(type)}(${args})`)
}

/** As Python would show it. */
const repr = (value: unknown): string => (typeof value === 'string' && !value.includes("'") ? `'${value}'` : JSON.stringify(value))

const chordError = (message: string): Final => new Final('ChordError', message, { module: 'celery.exceptions' })

async function tellChordError(
  ways: NextWays,
  body: Signature,
  { error, rootId }: { error: Final; rootId: string | undefined },
): Promise<void> {
  const chord = error.name === 'ChordError' ? error : chordError(`Callback error: ${error.message}`)
  await tellNever(ways, body, { resultOf: (id) => failureOf(id, chord), rootId })
  const [first] = tasksOf(body)
  const id = first?.options.id ?? ''
  const errbacks = first?.options.errbacks.map((errback) => signatureIn(errback, 'link_error')) ?? []
  await sendNext(ways, errbacks, { parent: { id, rootId }, given: id, reason: 'link_error' }).catch((failure: unknown) => {
    // Nobody is left to be told of one that has no queue.
    if (!(failure instanceof Final)) throw failure
  })
}

export interface Never {
  readonly resultOf: (id: string) => TaskResult
  readonly rootId: string | undefined
}

/** Tells those who wait for tasks that will not be called, or for a chord that these are part of. */
export async function tellNever(ways: NextWays, signature: Signature, { resultOf, rootId }: Never): Promise<void> {
  for (const task of tasksOf(signature)) {
    const { id, groupId, groupIndex, chord } = task.options
    if (id === undefined) continue
    const told = resultOf(id)
    await answer(ways, askerFor(task), told)
    const part = chordPartIn(groupId, groupIndex, chord)
    if (part && ways.results) await addToChord(ways, part, { told, rootId })
  }
}
