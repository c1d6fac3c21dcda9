/** The brokers the AMQP transport is tested on, with a session of it and whatever it reports. */
import { afterAll, beforeAll, describe, it } from 'vitest'
import { queue } from '../../src/core/entities.ts'
import type { Session, Transport } from '../../src/core/transport.ts'
import { amqpTransport } from '../../src/transports/amqp/index.ts'
import { builtinTransport } from '../../src/transports/amqp/builtin.ts'
import { MARK } from '../support/processes.ts'
import { runName, tempDir } from '../support/run-folder.ts'
import { hasRabbit, sharedRabbit } from '../support/shared-rabbit.ts'
import { openSession, type Recorded, unique } from './sessions.ts'

export const confirmed = { status: 'confirmed', routed: true }
export const unrouted = { status: 'confirmed', routed: false }

interface Kind {
  readonly broker: string
  readonly exists: boolean
  readonly at: () => string | Promise<string>
  readonly transport: Transport
  /** Delivery counts of one that failed, was given back untouched, and failed again. */
  readonly counted: readonly number[]
  readonly countedOnClassic: number | undefined
}

const kinds: readonly Kind[] = [
  // RabbitMQ 3.10 counts what was given back like what failed.
  { broker: 'RabbitMQ', exists: hasRabbit(), at: sharedRabbit, transport: amqpTransport, counted: [0, 1, 2], countedOnClassic: undefined },
  {
    broker: 'the built-in broker',
    exists: true,
    at: () => `omnibus://${tempDir('data')}`,
    transport: builtinTransport,
    counted: [0, 1, 1],
    countedOnClassic: 1,
  },
]

export class Place {
  readonly kind: Kind
  #opened: Recorded | undefined
  #url = ''

  constructor(kind: Kind) {
    this.kind = kind
    beforeAll(async () => {
      // Inherited by a broker that is started in the background, so that the run finds and ends it.
      process.env[MARK] = runName()
      this.#url = await kind.at()
      this.#opened = await this.open()
    })
    afterAll(() => this.#opened?.session.close())
  }

  /** The session all tests of a file share. */
  get session(): Session {
    return this.#opened!.session
  }

  get deaths(): Recorded['deaths'] {
    return this.#opened!.deaths
  }

  /** Another session on the same broker. */
  open(): Promise<Recorded> {
    return openSession(this.#url, { transport: this.kind.transport })
  }

  classic(prefix: string, options: object = {}): ReturnType<typeof queue> {
    return queue(unique(prefix), { type: 'classic', ...options })
  }

  /** The name of a new classic queue. */
  async declared(options: object = {}): Promise<string> {
    return (await this.session.declareQueue(this.classic('q', options))).name
  }
}

/** The tests, once on each broker that is there. */
export function onEachBroker(subject: string, tests: (on: Place) => void): void {
  describe.each(kinds)(`${subject} on $broker`, (kind) => {
    if (!kind.exists) return it.skip('is not there')
    tests(new Place(kind))
  })
}
