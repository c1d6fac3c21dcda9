import { describe, expect, test } from 'vitest'
import {
  type VirtualBinding,
  type VirtualExchange,
  Exchanges,
  Router,
  withBinding,
  withoutBinding,
} from '../../src/transports/kit/exchanges.ts'

const bound = (queue: string, routingKey = '', args: VirtualBinding['arguments'] = {}): VirtualBinding => ({
  queue,
  routingKey,
  arguments: args,
})

describe('a router', () => {
  test.each<[VirtualExchange['type'], VirtualBinding[], string, string[]]>([
    ['direct', [bound('a', 'k'), bound('b', 'K'), bound('c', 'k')], 'k', ['a', 'c']],
    ['fanout', [bound('a', 'x'), bound('b')], 'anything', ['a', 'b']],
    // What Kombu's patterns get wrong: `*` is one word and not several, `#` is none, too.
    ['topic', [bound('one', 'a.*'), bound('any', 'a.#'), bound('last', '#.c')], 'a.b.c', ['any', 'last']],
    ['topic', [bound('one', 'a.*'), bound('any', 'a.#'), bound('last', '#.c')], 'a', ['any']],
    ['topic', [bound('last', '#.c')], 'c', ['last']],
    ['topic', [bound('a', 'k'), bound('a', '#')], 'k', ['a']],
    ['topic', [], 'k', []],
  ])('%s %j sends "%s" to %j', (type, bindings, key, queues) => {
    const router = new Router({ type, bindings })
    expect(router.route(key)).toEqual(queues)
    expect(router.route(key), 'when remembered').toEqual(queues)
  })

  test('headers: looks at each message', () => {
    const router = new Router({
      type: 'headers',
      bindings: [bound('all', '', { kind: 'image', size: 2 }), bound('any', '', { 'x-match': 'any', kind: 'image', size: 2 })],
    })
    expect(router.route('k', { kind: 'image', size: 2 })).toEqual(['all', 'any'])
    expect(router.route('k', { kind: 'image', size: 3 })).toEqual(['any'])
    expect(router.route('k')).toEqual([])
  })
})

describe('exchanges', () => {
  /** A store as a transport has one, with what was asked of it. */
  function store(): { exchanges: Exchanges; kept: Map<string, VirtualExchange>; asked: string[] } {
    const kept = new Map<string, VirtualExchange>([['x', { type: 'direct', bindings: [bound('a', 'k')] }]])
    const asked: string[] = []
    const find = async (name: string): Promise<VirtualExchange | undefined> => {
      asked.push(name)
      if (name === 'broken') throw new Error('cannot be read')
      return kept.get(name)
    }
    return { exchanges: new Exchanges({ find }), kept, asked }
  }

  test('load each exchange once, and again when told to forget it', async () => {
    const { exchanges, kept, asked } = store()
    expect(await Promise.all([exchanges.route('x', 'k'), exchanges.route('x', 'other')])).toEqual([['a'], []])
    expect(asked).toEqual(['x'])
    kept.set('x', { type: 'fanout', bindings: [bound('b')] })
    expect(await exchanges.route('x', 'k')).toEqual(['a'])
    exchanges.forget('x')
    expect(await exchanges.route('x', 'k')).toEqual(['b'])
  })

  test('lead straight to a queue from the default exchange, which nobody keeps', async () => {
    const { exchanges, asked } = store()
    expect(await exchanges.route('', 'queue')).toEqual(['queue'])
    expect(asked).toEqual([])
  })

  test('ask again for one that was missing, or could not be read', async () => {
    const { exchanges, kept } = store()
    expect(await exchanges.route('later', 'k')).toBeUndefined()
    kept.set('later', { type: 'fanout', bindings: [bound('c')] })
    expect(await exchanges.route('later', 'k')).toEqual(['c'])
    await expect(exchanges.route('broken', 'k')).rejects.toThrow('cannot be read')
    await expect(exchanges.route('broken', 'k')).rejects.toThrow('cannot be read')
  })
})

test('a binding is added once, whatever the order of its arguments, and taken away alone', () => {
  const one = withBinding([], bound('q', 'k', { a: 1, b: 2 }))
  expect(withBinding(one, bound('q', 'k', { b: 2, a: 1 }))).toBe(one)
  const two = withBinding(one, bound('q', 'k', { a: 1 }))
  expect(two).toHaveLength(2)
  expect(withoutBinding(two, bound('q', 'k', { b: 2, a: 1 }))).toEqual([bound('q', 'k', { a: 1 })])
  expect(withoutBinding(two, bound('other', 'k'))).toEqual(two)
})
