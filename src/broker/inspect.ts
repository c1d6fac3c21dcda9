import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { ConnectionError, messageOf } from '../core/errors.ts'
import { readAnnouncement } from './announcement.ts'
import type { BrokerStats } from './statistics.ts'

/** No answer by then is none. Milliseconds. */
const ANSWER_MS = 10_000

/** Asks the broker that runs in a folder. Rejects with `ConnectionError` where none does. */
export async function inspectBroker(data: string): Promise<BrokerStats> {
  const path = readAnnouncement(data)?.inspect
  if (path === undefined)
    throw new ConnectionError(
      `No built-in broker runs in ${data}: there is no broker.json that names its sockets. Other brokers have tools of their own`,
    )
  const socket = connect({ path })
  socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`no answer within ${ANSWER_MS} ms`)))
  try {
    return JSON.parse(await text(socket)) as BrokerStats
  } catch (cause) {
    throw new ConnectionError(`The broker of ${data} does not answer: ${messageOf(cause)}`, { cause })
  }
}
