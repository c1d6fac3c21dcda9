import { describe, it } from 'vitest'
import { conformanceSuite } from '../../src/testing/index.ts'
import { createSqsTransport } from '../../src/transports/sqs/index.ts'
import { sharedSqs } from '../support/shared-sqs.ts'
import { sqs } from './exemptions.ts'

conformanceSuite({ name: 'SQS', transport: createSqsTransport(), url: sharedSqs, known: sqs, describe, it })
