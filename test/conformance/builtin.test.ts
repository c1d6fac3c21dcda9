import { beforeAll, describe, it } from 'vitest'
import { conformanceSuite } from '../../src/testing/index.ts'
import { builtinTransport } from '../../src/transports/amqp/builtin.ts'
import { MARK } from '../support/processes.ts'
import { runName, tempDir } from '../support/run-folder.ts'

const folder = tempDir('conformance')

// Inherited by the broker that is started in the background, so that the run finds and ends it.
beforeAll(() => void (process.env[MARK] = runName()))

conformanceSuite({ name: 'the built-in broker', transport: builtinTransport, url: () => `omnibus://${folder}`, describe, it })
