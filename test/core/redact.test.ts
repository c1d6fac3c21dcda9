import { expect, test } from 'vitest'
import { redactDeep, redactTarget, redactText, redactUrl } from '../../src/core/redact.ts'

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

test.each([
  ['amqp://u:p@a/v', 'amqp://u:***@a/v'],
  ['amqp://u:p@a:1,b:2/v', 'amqp://u:***@a:1,b:2/v'],
  ['amqp://u:p@a,u2:p2@b/v', 'amqp://u:***@a,u2:***@b/v'],
  ['amqp://u:p,p@h', 'amqp://u:***@h'],
  ['amqp://u:p/p@h', 'amqp://u:***@h'],
  ['amqp://u:p@p@h', 'amqp://u:***@h'],
  ['redis://:p@h:1/0', 'redis://:***@h:1/0'],
  ['cannot reach amqp://u:p@h, https://a.b/c', 'cannot reach amqp://u:***@h, https://a.b/c'],
  ['https://h/?x=1&access_token=p&y=2', 'https://h/?x=1&access_token=***&y=2'],
  ['amqp://h:1/v and nothing else', 'amqp://h:1/v and nothing else'],
])('%s is written as %s', (text, expected) => {
  expect(redactText(text)).toBe(expected)
  expect(redactDeep({ a: [text], b: 1 })).toEqual({ a: [expected], b: 1 })
})

test.each([
  ['amqp://u:p@h/v', 'amqp://u:***@h/v'],
  ['u:p@h', '***@h'],
  ['p@h', '***@h'],
  ['omnibus:///data', 'omnibus:///data'],
])('the URL %s is written as %s', (url, expected) => {
  expect(redactUrl(url)).toBe(expected)
})
