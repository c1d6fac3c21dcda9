/** The promises of `Transport` as tests that run on any of them, under any runner that has `describe` and `it`. */
import { ConfigError } from '../../core/errors.ts'
import type { Capabilities, Transport } from '../../core/transport.ts'
import { bodies } from './bodies.ts'
import { closing } from './closing.ts'
import { consuming } from './consuming.ts'
import { declaring } from './declaring.ts'
import { draining } from './draining.ts'
import { expiring } from './expiring.ts'
import { getting } from './getting.ts'
import { lifetimes } from './lifetimes.ts'
import { priorities } from './priorities.ts'
import { publishing } from './publishing.ts'
import { recovery } from './recovery.ts'
import { requesting } from './requesting.ts'
import { routing } from './routing.ts'
import { settling } from './settling.ts'
import { Subject, type SubjectOptions } from './subject.ts'

export interface ConformanceTest {
  readonly name: string
  /** What a transport must be able to do for it; false skips it, and `what` says why. */
  readonly needs?: { readonly what: string; readonly has: (capabilities: Capabilities) => boolean }
  readonly run: (subject: Subject) => Promise<void>
}

export interface ConformanceFamily {
  readonly name: string
  readonly tests: readonly ConformanceTest[]
}

export interface Exemption {
  /** `family: test`. */
  readonly test: string
  readonly reason: string
}

/** The runner's own functions; those of vitest, Jest, Mocha and `node:test` fit. */
export interface Runner {
  readonly describe: (name: string, body: () => void) => unknown
  readonly it: ((name: string, body: () => Promise<void>) => unknown) & { skip: (name: string, body: () => Promise<void>) => unknown }
}

export interface ConformanceOptions extends Runner {
  readonly name: string
  readonly transport: Transport
  /** Where the broker is; asked by each test. */
  readonly url: () => string | Promise<string>
  /** What a durable, shared queue is declared as. @default 'classic' */
  readonly queueType?: SubjectOptions['queueType']
  /** What this broker does otherwise for a good reason. Each is shown as skipped, with its reason. */
  readonly known?: readonly Exemption[]
}

const families: readonly ConformanceFamily[] = [
  publishing,
  declaring,
  routing,
  consuming,
  settling,
  draining,
  getting,
  expiring,
  priorities,
  lifetimes,
  closing,
  bodies,
  recovery,
  requesting,
]

/** Registers the suite with the runner. Throws `ConfigError` for an exemption from a test that does not exist. */
export function conformanceSuite(options: ConformanceOptions): void {
  const { name, transport, url, queueType = 'classic', known = [], describe, it } = options
  const names = families.flatMap((family) => family.tests.map((test) => `${family.name}: ${test.name}`))
  const stale = known.filter(({ test }) => !names.includes(test))
  if (stale.length > 0) {
    throw new ConfigError(
      `conformanceSuite("${name}")`,
      stale.map(({ test }) => ({ path: 'known', expected: 'the name of a test, as "family: test"', got: `"${test}"` })),
    )
  }
  describe(name, () => {
    for (const family of families) {
      describe(family.name, () => {
        for (const test of family.tests) {
          const reason = whyNot(family, test, transport.capabilities, known)
          const body = async (): Promise<void> => {
            const subject = new Subject({ transport, url: new URL(await url()), queueType })
            try {
              await test.run(subject)
            } finally {
              await subject.cleanUp()
            }
          }
          if (reason === undefined) it(test.name, body)
          else it.skip(`${test.name} (skipped: ${reason})`, body)
        }
      })
    }
  })
}

function whyNot(
  family: ConformanceFamily,
  test: ConformanceTest,
  capabilities: Capabilities,
  known: readonly Exemption[],
): string | undefined {
  if (test.needs && !test.needs.has(capabilities)) return `this transport has no ${test.needs.what}`
  return known.find((exemption) => exemption.test === `${family.name}: ${test.name}`)?.reason
}
