import { deepEqual, equal } from 'node:assert/strict'
import { bind, type Binding, type Exchange } from '../../core/entities.ts'
import type { Headers } from '../../core/message.ts'
import type { Capabilities } from '../../core/transport.ts'
import type { ConformanceFamily, ConformanceTest } from './suite.ts'
import { outgoing, type Subject } from './subject.ts'

const needs = (type: Exchange['type']): NonNullable<ConformanceTest['needs']> => ({
  what: `${type} exchange`,
  has: ({ exchangeTypes }: Capabilities) => exchangeTypes.includes(type),
})

/** A queue per binding; their names. */
async function queues(subject: Subject, ...bindings: readonly Binding[]): Promise<string[]> {
  const session = await subject.session()
  const made = bindings.map((binding) => subject.queue({ bindings: [binding] }))
  for (const one of made) await session.declareQueue(one)
  return made.map(({ name }) => name)
}

const drained = async (subject: Subject, names: readonly string[]): Promise<string[][]> => {
  const all: string[][] = []
  for (const name of names) all.push(await subject.drain(name))
  return all
}

/** What AMQP 0-9-1 §3.1.3.3 says, written as a search: `*` is one word, `#` any number, also none. */
function fits(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return words.length === 0
  if (first === '#') return fits(rest, words) || (words.length > 0 && fits(pattern, words.slice(1)))
  return words.length > 0 && (first === '*' || first === words[0]) && fits(rest, words.slice(1))
}

const PATTERNS = ['#', '*', 't.*', 't.#', '*.1', '#.1', '#.x.#', 'a.*.c', 'a.#.c', 'a.b.c', 'a..c', '#.#', '*.*.*', '']
const KEYS = ['t', 't.1', 't.1.2', 'a.b.c', 'a.c', 'a.x.y.c', 'x', 'a.x', 'a..c', '1', '']

export const routing: ConformanceFamily = {
  name: 'routing',
  tests: [
    {
      name: 'direct: by the exact key, to every queue bound by it',
      needs: needs('direct'),
      async run(subject) {
        const source = subject.exchange('direct')
        const names = await queues(subject, bind(source, 'a'), bind(source, 'b'), bind(source, 'a'), bind(source, 'A'))
        const keys = ['a', 'b', 'c', 'a.b', '']
        await subject.publish(keys.map((key) => outgoing(source.name, key, key)))
        deepEqual(await drained(subject, names), [['a'], ['b'], ['a'], []])
      },
    },
    {
      name: 'fanout: to every queue, whatever the key',
      needs: needs('fanout'),
      async run(subject) {
        const source = subject.exchange('fanout')
        const names = await queues(subject, bind(source), bind(source, 'k'), bind(source))
        await subject.publish([outgoing(source.name, '', '1'), outgoing(source.name, 'x.y', '2')])
        deepEqual(await drained(subject, names), [
          ['1', '2'],
          ['1', '2'],
          ['1', '2'],
        ])
      },
    },
    {
      name: 'topic: * is one word, # any number and none',
      needs: needs('topic'),
      async run(subject) {
        const source = subject.exchange('topic')
        const names = await queues(subject, ...PATTERNS.map((pattern) => bind(source, pattern)))
        await subject.publish(KEYS.map((key) => outgoing(source.name, key, key)))
        const words = (text: string): string[] => (text === '' ? [] : text.split('.'))
        const got = await drained(subject, names)
        for (const [i, pattern] of PATTERNS.entries()) {
          // The empty key is no word here and one empty word there: brokers differ, so it is no part of the promise.
          const expected = KEYS.filter((key) => key !== '' && fits(words(pattern), words(key)))
          deepEqual(
            got[i]?.filter((key) => key !== ''),
            expected,
            `pattern "${pattern}"`,
          )
        }
      },
    },
    {
      name: 'headers: all of them, or any',
      needs: needs('headers'),
      async run(subject) {
        const source = subject.exchange('headers')
        const names = await queues(
          subject,
          bind(source, '', { 'x-match': 'all', kind: 'image', size: 2 }),
          bind(source, '', { 'x-match': 'any', kind: 'image', size: 2 }),
          bind(source, '', { kind: 'image' }),
        )
        const send = (body: string, headers: Headers) => outgoing(source.name, 'ignored', body, { properties: { headers } })
        await subject.publish([
          send('both', { kind: 'image', size: 2 }),
          send('one', { kind: 'image', size: 3 }),
          send('more', { kind: 'image', size: 2, extra: true }),
          send('none', { kind: 'sound' }),
          outgoing(source.name, 'ignored', 'without'),
        ])
        deepEqual(await drained(subject, names), [
          ['both', 'more'],
          ['both', 'one', 'more'],
          ['both', 'one', 'more'],
        ])
      },
    },
    {
      name: 'gives a queue one copy, however many of its bindings fit',
      needs: needs('topic'),
      async run(subject) {
        const source = subject.exchange('topic')
        const target = subject.queue({ bindings: [bind(source, 'a.*'), bind(source, '#'), bind(source, 'a.b')] })
        await (await subject.session()).declareQueue(target)
        await subject.publish([outgoing(source.name, 'a.b', 'once')])
        deepEqual(await subject.drain(target.name), ['once'])
      },
    },
    {
      name: 'settles the copies in two queues apart from each other',
      needs: needs('fanout'),
      async run(subject) {
        const source = subject.exchange('fanout')
        const [one = '', two = ''] = await queues(subject, bind(source), bind(source))
        await subject.publish([outgoing(source.name, '', 'copy')])
        await (await subject.next(one)).settle('ack')
        await (await subject.next(two)).settle('requeue')
        await subject.counts(two, { messages: 1 })
        equal(await (await subject.session()).get(one), undefined)
        deepEqual(await drained(subject, [one, two]), [[], ['copy']])
      },
    },
    {
      name: 'takes publishes to an exchange that has no queue',
      needs: needs('fanout'),
      async run(subject) {
        const source = subject.exchange('fanout')
        await (await subject.session()).declareExchange(source)
        const [result] = await subject.publish([outgoing(source.name, '', 'nobody', { mandatory: false })])
        equal(result?.status, 'confirmed')
      },
    },
    {
      name: 'default exchange: to the queue of that name, exactly',
      async run(subject) {
        const name = await subject.declared()
        await subject.send(name, 'here')
        await subject.send(`${name}.more`, 'elsewhere')
        deepEqual(await subject.drain(name), ['here'])
      },
    },
  ],
}
