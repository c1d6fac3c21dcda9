import { describe, expect, it } from 'vitest'
import { ConfigError, messageOf } from '../../src/core/errors.ts'
import { flag, list, object, oneOf, readOptions, show, text, whole } from '../../src/core/options.ts'

interface Sample {
  workers?: number
  kind?: 'process' | 'thread'
  nested?: { names?: readonly string[]; deep?: boolean }
}

const fields = {
  workers: whole({ min: 1, fallback: 2 }),
  kind: oneOf(['process', 'thread'], 'process'),
  nested: object<{ names?: readonly string[]; deep?: boolean }>({ names: list(text()), deep: flag() }),
}
const read = (input: unknown) => readOptions<Sample>('the sample', fields, input)

describe('readOptions', () => {
  it('fills in what is absent and freezes the result', () => {
    const options = read({ nested: { names: ['a'] } })
    expect(options).toEqual({ workers: 2, kind: 'process', nested: { names: ['a'] } })
    expect(Object.isFrozen(options) && Object.isFrozen(options.nested)).toBe(true)
  })

  it('reports every problem at once, with its path, what was expected and what was there', () => {
    const input = { workers: 0, kind: 'threat', nested: { names: ['a', 7], deep: 'yes' } }
    const error = catchError(() => read(input))
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).problems).toEqual([
      { path: 'workers', expected: 'a whole number from 1', got: '0' },
      { path: 'kind', expected: 'one of process, thread (did you mean "thread"?)', got: '"threat"' },
      { path: 'nested.names[1]', expected: 'a text', got: '7' },
      { path: 'nested.deep', expected: 'true or false', got: '"yes"' },
    ])
  })

  it('names a mistyped key with the one that was meant', () => {
    const error = catchError(() => read({ wokers: 3 })) as ConfigError
    expect(error.message).toContain('did you mean "workers"?')
  })

  it('shows any value, even one that nobody can write', () => {
    const deep: unknown = JSON.parse(`${'['.repeat(20_000)}${']'.repeat(20_000)}`)
    expect([deep, 1n, Symbol('s'), Object.create(null), Buffer.alloc(9)].map(show)).toEqual([
      '[object Array]',
      '1',
      'Symbol(s)',
      '{}',
      '9 bytes',
    ])
    expect([deep, { a: 1 }, 'text', undefined, new Error('why')].map(messageOf)).toEqual([
      'a value that is no error, and cannot be shown',
      'a value that is no error: {"a":1}',
      'text',
      'undefined',
      'why',
    ])
  })

  it('lists the known keys when none is near', () => {
    const error = catchError(() => read({ zzz: 3 })) as ConfigError
    expect(error.message).toContain('one of workers, kind, nested')
  })
})

function catchError(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
