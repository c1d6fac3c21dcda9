/** A client that never retries, and says of every request what became of it. */
import { Agent, request } from 'node:http'

export interface Outcomes {
  answered: number
  /** Refused, answered with something else than 200, or cut off before the answer was whole. */
  lost: number
  /** ECONNRESET or EPIPE. */
  reset: number
  /** No answer in time. */
  hung: number
}

const CLIENTS = 16
const ANSWER_MS = 5_000

/** Clients that ask one after the other until `isOver`. */
export async function askUntil(
  url: string,
  { keepAlive, isOver }: { keepAlive: boolean; isOver: (soFar: Outcomes) => boolean },
): Promise<Outcomes> {
  const outcomes: Outcomes = { answered: 0, lost: 0, reset: 0, hung: 0 }
  const client = async (): Promise<void> => {
    const agent = new Agent({ keepAlive, maxSockets: 1 })
    while (!isOver(outcomes)) outcomes[await ask(url, agent)] += 1
    agent.destroy()
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  return outcomes
}

function ask(url: string, agent: Agent): Promise<keyof Outcomes> {
  return new Promise((resolve) => {
    const outgoing = request(url, { agent }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode === 200 ? 'answered' : 'lost'))
      response.on('error', failed)
    })
    const failed = (error: Error & { code?: string }): void =>
      resolve(error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'reset' : 'lost')
    const timer = setTimeout(() => {
      resolve('hung')
      outgoing.destroy()
    }, ANSWER_MS)
    outgoing.on('close', () => clearTimeout(timer))
    outgoing.on('error', failed)
    outgoing.end()
  })
}
