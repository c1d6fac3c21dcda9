import { type FauxqsServer, startFauxqs } from 'fauxqs'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { conformanceSuite } from '../../src/testing/index.ts'
import { createSqsTransport } from '../../src/transports/sqs/index.ts'
import { sqs } from './exemptions.ts'

let server: FauxqsServer

beforeAll(async () => void (server = await startFauxqs({ port: 0, logger: false })))
afterAll(() => server.stop())

// Short polls: the emulator gives messages to long ones whose asker has gone.
const url = (): string => `sqs://key:secret@127.0.0.1:${server.port}/?wait_time_seconds=0&polling_interval=0.02`

conformanceSuite({ name: 'SQS', transport: createSqsTransport(), url, known: sqs, describe, it })
