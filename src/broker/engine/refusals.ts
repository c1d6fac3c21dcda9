/** What the engine answers to what cannot be done, in the words clients know from RabbitMQ. */
import { ProtocolError, TopologyError } from '../../core/errors.ts'

const VHOST = "in vhost '/'"

export const notFound = (kind: 'queue' | 'exchange', name: string): TopologyError =>
  new TopologyError(`NOT_FOUND - no ${kind} '${name}' ${VHOST}`, 404)

export const accessRefused = (why: string): TopologyError => new TopologyError(`ACCESS_REFUSED - ${why}`, 403)

export const exclusiveUse = (queue: string): TopologyError => accessRefused(`queue '${queue}' ${VHOST} in exclusive use`)

export const locked = (queue: string): TopologyError =>
  new TopologyError(
    `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' ${VHOST}. It could be originally declared ` +
      'on another connection or the exclusive property value does not match that of the original declaration.',
    405,
  )

export const precondition = (why: string): TopologyError => new TopologyError(`PRECONDITION_FAILED - ${why}`, 406)

export const inUse = (kind: 'queue' | 'exchange', name: string): TopologyError => precondition(`${kind} '${name}' ${VHOST} in use`)

export const notEmpty = (queue: string): TopologyError => precondition(`queue '${queue}' ${VHOST} not empty`)

export const invalidArgument = (argument: string, queue: string, why: string): TopologyError =>
  precondition(`invalid arg '${argument}' for queue '${queue}' ${VHOST}: ${why}`)

export const inequivalent = (argument: string, kind: 'queue' | 'exchange', name: string, difference: string): TopologyError =>
  precondition(`inequivalent arg '${argument}' for ${kind} '${name}' ${VHOST}: ${difference}`)

export const resourceError = (why: string): TopologyError => new TopologyError(`RESOURCE_ERROR - ${why}`, 506)
export const internalError = (why: string): TopologyError => new TopologyError(`INTERNAL_ERROR - ${why}`, 541)

/** These end the whole connection. */
export const notAllowed = (why: string): ProtocolError => new ProtocolError(`NOT_ALLOWED - ${why}`, 530)
export const commandInvalid = (why: string): ProtocolError => new ProtocolError(`COMMAND_INVALID - ${why}`, 503)

export const notFoundPrevious = (): TopologyError => new TopologyError('NOT_FOUND - no previously declared queue', 404)
