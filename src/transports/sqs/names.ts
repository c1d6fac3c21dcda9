/** Names of queues and topics as Kombu maps them to what SQS and SNS take. Two names may become one, as with Kombu: `a.b` and `a-b`. */
import { TopologyError } from '../../core/errors.ts'

const FIFO = '.fifo'

export const isFifo = (name: string): boolean => name.endsWith(FIFO)

/** Of a queue. Throws `TopologyError` 406 where SQS has no name for it. */
export const sqsName = (name: string, prefix: string): string => mapped(name, prefix, { service: 'SQS', longest: 80, entity: 'queue' })

/** Of the topic of a fanout exchange. Throws `TopologyError` 406 where SNS has no name for it. */
export const snsName = (name: string, prefix: string): string => mapped(name, prefix, { service: 'SNS', longest: 256, entity: 'exchange' })

interface Kind {
  readonly service: string
  readonly longest: number
  readonly entity: string
}

function mapped(name: string, prefix: string, { service, longest, entity }: Kind): string {
  const full = prefix + name
  const fifo = isFifo(full)
  const stem = fifo ? full.slice(0, -FIFO.length) : full
  const result = stem.replaceAll('.', '-').replaceAll(/[!-,/:-@[-^`{-~]/g, '_') + (fifo ? FIFO : '')
  const takes = `${service} takes names of`
  if (result.length > longest || result.length === 0)
    throw new TopologyError(`${takes} 1 to ${longest} characters, and "${result}", of ${entity} "${name}", has ${result.length}`, 406)
  if (!/^[\w-]+(\.fifo)?$/.test(result))
    throw new TopologyError(`${takes} ASCII letters, digits, "-" and "_", and ${entity} "${name}" has others`, 406)
  return result
}
