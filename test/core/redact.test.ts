import { expect, test } from 'vitest'
import { redactTarget, redactText } from '../../src/core/redact.ts'

// What a client may send in a head, and more. In quadratic time these would take minutes, so a run that ends is the proof.
const LONG = 400_000

test.each([
  ['names of secrets', '/?key'],
  ['separators', ';?&'],
  ['schemes', 'a://'],
  ['hosts', 'x://a,'],
  ['passwords', 'x://u:p@h,'],
])('a long text of %s is redacted in time in proportion to it', (_, part) => {
  const text = part.repeat(LONG / part.length)
  expect(redactTarget(text).length).toBeGreaterThan(0)
  expect(redactText(text)).not.toContain('u:p@')
})

test.each([
  ['/?a;token=x', '/?a;token=***'],
  ['/?a=b?token=x', '/?a=b?token=***'],
  ['/?api_key=x?y&b=1', '/?api_key=***&b=1'],
])('the target %s is shown as %s', (target, shown) => {
  expect(redactTarget(target)).toBe(shown)
})
