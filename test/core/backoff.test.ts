import { describe, expect, test } from 'vitest'
import { Backoff, type Ended } from '../../src/core/backoff.ts'
import { ConnectionError } from '../../src/core/errors.ts'

const unreachable: Ended = { error: new ConnectionError('refused'), opened: false, lived: false }
const refused: Ended = { error: new ConnectionError('wrong password', { fatal: true }), opened: false, lived: false }
const cutInHandshake: Ended = { error: new ConnectionError('reset', { cut: true }), opened: false, lived: false }
const cutYoung: Ended = { error: new ConnectionError('reset', { cut: true }), opened: true, lived: false }
const cutOld: Ended = { error: new ConnectionError('reset', { cut: true }), opened: true, lived: true }

/** The longest wait that may follow the last of these; the shortest is half of it. */
function ceiling(hosts: number, ...ends: readonly Ended[]): number {
  const waits = Array.from({ length: 200 }, () => {
    const backoff = new Backoff({ minMs: 100, maxMs: 30_000, hosts })
    return ends.map((ended) => backoff.after(ended)).at(-1)!
  })
  const [least, most] = [Math.min(...waits), Math.max(...waits)]
  // Spread over the whole upper half, so that many clients do not come back in step.
  expect(most - least).toBeGreaterThan(most / 4)
  return Math.max(most, least * 2)
}
const around = (ms: number): unknown => ({
  asymmetricMatch: (got: number) => got > ms * 0.9 && got < ms * 1.1,
  toString: () => `around ${ms}`,
})
const times = (count: number, ended: Ended): Ended[] => Array.from({ length: count }, () => ended)

describe('the wait before the next attempt', () => {
  test.each([
    ['once unreachable', 1, [unreachable], 100],
    ['five times unreachable', 1, times(5, unreachable), 1_600],
    ['unreachable for ever', 1, times(50, unreachable), 30_000],
    ['two hosts, both unreachable once', 2, times(2, unreachable), 100],
    ['two hosts, both unreachable twice', 2, times(3, unreachable), 200],
    ['refused for good', 1, [refused], 5_000],
    ['cut after it had lived', 1, [cutOld], 100],
    ['cut young again and again', 1, times(50, cutYoung), 500],
    ['cut in the handshake again and again', 1, times(50, cutInHandshake), 500],
    ['unreachable for long, then cut', 1, [...times(20, unreachable), cutYoung], 100],
    ['cut for long, then unreachable', 1, [...times(20, cutYoung), unreachable], 100],
  ])('%s', (_, hosts, ends, ms) => {
    expect(ceiling(hosts, ...ends)).toEqual(around(ms))
  })
})
