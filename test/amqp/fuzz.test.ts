import { join } from 'node:path'
import { expect, it } from 'vitest'
import { run } from '../support/process.ts'

/** `FUZZ_ROUNDS=1000000 npx vitest run test/amqp/fuzz.test.ts` looks for longer. */
const ROUNDS = process.env['FUZZ_ROUNDS'] ?? '6000'

it.each([1, Date.now() % 1_000_000])('reads or refuses what is damaged, within 64 MiB (seed %i)', { timeout: 600_000 }, async (seed) => {
  const program = join(import.meta.dirname, 'fixtures', 'fuzz-codec.ts')
  const fuzz = run(process.execPath, ['--max-old-space-size=32', program, String(seed), ROUNDS], { label: 'fuzz' })
  const { code } = await fuzz.exit({ deadlineMs: 590_000 })
  expect(code, fuzz.lines.join('\n')).toBe(0)
  const counts = JSON.parse(fuzz.lines.at(-1)!.replace(/^[^{]*/, '')) as Record<string, number>
  // Neither everything nor nothing: the damage is of the right kind.
  expect(counts['read']).toBeGreaterThan(100)
  expect(counts['refused']).toBeGreaterThan(300)
  expect(counts['messages']).toBeGreaterThan(300)
})
