import { describe, it } from 'vitest'
import { conformanceSuite } from '../../src/testing/index.ts'
import { createMemoryTransport } from '../../src/transports/memory/index.ts'

conformanceSuite({ name: 'memory', transport: createMemoryTransport(), url: () => 'memory:conformance', describe, it })
