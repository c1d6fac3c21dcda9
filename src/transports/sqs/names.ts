/** Names of queues as Kombu maps them to what SQS takes. Two names may become one, as with Kombu: `a.b` and `a-b`. */
import { TopologyError } from '../../core/errors.ts'

const FIFO = '.fifo'
const LONGEST = 80

export const isFifo = (name: string): boolean => name.endsWith(FIFO)

/** Throws `TopologyError` 406 where SQS has no name for it. */
export function sqsName(name: string, prefix: string): string {
  const full = prefix + name
  const fifo = isFifo(full)
  const stem = fifo ? full.slice(0, -FIFO.length) : full
  const mapped = stem.replaceAll('.', '-').replaceAll(/[!-,/:-@[-^`{-~]/g, '_') + (fifo ? FIFO : '')
  if (mapped.length > LONGEST || mapped.length === 0)
    throw new TopologyError(`SQS takes names of 1 to ${LONGEST} characters, and "${mapped}", of queue "${name}", has ${mapped.length}`, 406)
  if (!/^[\w-]+(\.fifo)?$/.test(mapped))
    throw new TopologyError(`SQS takes names of ASCII letters, digits, "-" and "_", and queue "${name}" has others`, 406)
  return mapped
}
