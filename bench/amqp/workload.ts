/** What every client under measure does, with the same messages. */
export interface Client {
  /** Publishes persistent messages to a durable queue, `inFlight` unconfirmed at a time, calling `tick` for each confirm. */
  publish(job: Job): Promise<void>
  /** Consumes with a prefetch of `inFlight`, parses and acks one by one, calling `tick` for each. */
  consume(job: Job): Promise<void>
}

export interface Job {
  readonly url: string
  /** Its name ends in the size of its messages. */
  readonly queue: string
  readonly payload: Payload
  readonly inFlight: number
  /** Messages in all. */
  readonly count: number
  /** Counts one message; true when it was the last. */
  readonly tick: () => boolean
}

export interface Measured {
  readonly perSecond: number
  readonly cpuMicroseconds: number
}

export interface Payload {
  readonly id: string
  readonly text: string
}

const ID = 'b7e0c3de-5f0a-4a57-9df5-2a4a3a0a9c11'
const FRAMING = JSON.stringify({ id: ID, text: '' }).length

/** JSON of exactly `bytes`. */
export function payloadOf(bytes: number): Payload {
  return { id: ID, text: 'x'.repeat(bytes - FRAMING) }
}

export function bodyOf(bytes: number): Buffer {
  return Buffer.from(JSON.stringify(payloadOf(bytes)))
}

/** Throws unless what arrived is what was sent. */
export function check(arrived: unknown, payload: Payload): void {
  const { id, text } = arrived as Payload
  if (id !== payload.id || text.length !== payload.text.length) throw new Error('a wrong message arrived')
}

/** Measures from the first fifth on, when connecting and warming up are over. */
export function meter(count: number): { tick: () => boolean; measured: () => Measured } {
  const warm = Math.floor(count / 5)
  let seen = 0
  let cpu = process.cpuUsage()
  let begin = performance.now()
  let measured: Measured | undefined
  return {
    tick() {
      seen++
      if (seen === warm) {
        cpu = process.cpuUsage()
        begin = performance.now()
      }
      if (seen !== count) return false
      const { user, system } = process.cpuUsage(cpu)
      measured = {
        perSecond: ((count - warm) / (performance.now() - begin)) * 1_000,
        cpuMicroseconds: (user + system) / (count - warm),
      }
      return true
    },
    measured() {
      if (!measured) throw new Error(`ended after ${seen} of ${count} messages`)
      return measured
    },
  }
}
