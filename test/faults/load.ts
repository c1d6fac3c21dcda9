/** Producers and consumers that write everything into a ledger. */
import type { Connection } from '../../src/core/connection.ts'
import type { Consumer } from '../../src/core/consumer.ts'
import type { Queue } from '../../src/core/entities.ts'
import { PublishError } from '../../src/core/errors.ts'
import type { Writer } from './ledger.ts'

export interface Producing {
  readonly connection: Pick<Connection, 'publish'>
  readonly queue: Queue
  readonly ledger: Writer
  /** Unique in the ledger's folder. */
  readonly name: string
  /** Publishes under way at a time. */
  readonly window: number
  /** Asked before each publish; resolves false to end. */
  readonly more: () => boolean | Promise<boolean>
  /** @default the id alone */
  readonly bodyOf?: (id: string) => string
}

/** Resolves when it has been told to end and every publish has settled. */
export async function produce({ connection, queue, ledger, name, window, more, bodyOf = (id) => id }: Producing): Promise<void> {
  let seq = 0
  const lane = async (): Promise<void> => {
    while (await more()) {
      const id = `${name}-${seq++}`
      ledger.write('sent', id)
      await connection.publish(queue, bodyOf(id)).then(
        () => ledger.write('confirmed', id),
        (error: unknown) => ledger.write('failed', id, error instanceof PublishError ? error.reason : String(error).replaceAll(' ', '_')),
      )
    }
  }
  await Promise.all(Array.from({ length: window }, lane))
}

export interface Consuming {
  readonly connection: Pick<Connection, 'consume'>
  readonly queue: Queue
  readonly ledger: Writer
  readonly prefetch: number
  /** What handling takes. @default nothing */
  readonly handle?: (id: string) => Promise<void> | void
  /** @default all of it */
  readonly idOf?: (body: string) => string
}

export function consume({ connection, queue, ledger, prefetch, handle, idOf = (body) => body }: Consuming): Promise<Consumer> {
  return connection.consume(
    queue,
    async (delivery) => {
      const id = idOf(delivery.text())
      ledger.write('delivered', id, delivery.redelivered ? 'again' : '')
      await handle?.(id)
      // Given back meanwhile, at the end of a grace period: somebody else handles it.
      if (delivery.settled) return
      ledger.write('handled', id)
      if (await delivery.ack()) ledger.write('acked', id)
    },
    { prefetch },
  )
}
