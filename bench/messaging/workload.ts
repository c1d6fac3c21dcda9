/** What every client under measure does, with the same message. */
export interface Client {
  /** Publishes `count` persistent messages, at most `window` unconfirmed at a time; resolves when all are confirmed. */
  publish(url: string, queue: string, count: number, window: number): Promise<void>
  /** Consumes, parses and acks `count` messages, then resolves. */
  consume(url: string, queue: string, count: number, prefetch: number): Promise<void>
}

export interface Measured {
  readonly perSecond: number
  readonly cpuMicroseconds: number
}

/** 256 bytes of JSON. */
export const payload = { id: 'b7e0c3de-5f0a-4a57-9df5-2a4a3a0a9c11', text: 'x'.repeat(198) }
