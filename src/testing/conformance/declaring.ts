import { deepEqual, equal, rejects } from 'node:assert/strict'
import { bind, defaultExchange } from '../../core/entities.ts'
import { TopologyError, UnsupportedError } from '../../core/errors.ts'
import type { ConformanceFamily } from './suite.ts'
import { confirmed, outgoing } from './subject.ts'

/** For `rejects`: a `TopologyError` of this code whose text names what was refused. */
export const refused = (replyCode: number, ...named: readonly string[]) => {
  return (error: unknown): true => {
    equal(error instanceof TopologyError, true, `not a TopologyError: ${String(error)}`)
    const { message, replyCode: code } = error as TopologyError
    equal(code, replyCode, message)
    for (const name of named) equal(message.includes(name), true, `"${message}" does not name ${name}`)
    return true
  }
}

export const declaring: ConformanceFamily = {
  name: 'declaring',
  tests: [
    {
      name: 'creates a queue with its exchanges and bindings, and twice the same is once',
      async run(subject) {
        const session = await subject.session()
        const [first, second] = [subject.exchange('direct'), subject.exchange('fanout')]
        const target = subject.queue({ bindings: [bind(first, 'a'), bind(first, 'b'), bind(second)] })
        deepEqual(await session.declareQueue(target), { name: target.name, messages: 0, consumers: 0 })
        await session.declareQueue(target)
        await session.declareExchange(first)
        const keys = [outgoing(first.name, 'a', '1'), outgoing(first.name, 'b', '2'), outgoing(second.name, 'c', '3')]
        deepEqual(await subject.publish(keys), [confirmed, confirmed, confirmed])
        deepEqual(await subject.drain(target.name), ['1', '2', '3'])
      },
    },
    {
      name: 'tells the counts of a queue that exists',
      async run(subject) {
        const session = await subject.session()
        const target = subject.queue()
        await session.declareQueue(target)
        await subject.send(target.name, 'a', 'b')
        await subject.counts(target.name, { messages: 2, consumers: 0 })
        equal((await session.declareQueue(target)).messages, 2)
      },
    },
    {
      name: 'refuses a queue that exists with other arguments with 406, names the argument, and lives on',
      async run(subject) {
        const session = await subject.session()
        const target = subject.queue()
        await session.declareQueue(target)
        const other = { ...target, arguments: { ...target.arguments, 'x-max-length': 7 } }
        await rejects(session.declareQueue(other), refused(406, target.name, 'x-max-length'))
        equal((await session.inspect(target.name)).name, target.name)
        deepEqual(await subject.deaths(), [])
      },
    },
    {
      name: 'refuses an exchange that exists with another type with 406',
      async run(subject) {
        const session = await subject.session()
        const source = subject.exchange('direct')
        await session.declareExchange(source)
        await rejects(session.declareExchange({ ...source, type: 'fanout' }), refused(406, source.name))
        await session.declareExchange(source)
      },
    },
    {
      name: 'answers 404 for what does not exist, whatever is asked of it',
      async run(subject) {
        const session = await subject.session()
        const missing = subject.unique('missing')
        await rejects(session.inspect(missing), refused(404, missing))
        await rejects(session.get(missing), refused(404, missing))
        await rejects(session.purge(missing), refused(404, missing))
        await rejects(subject.consume(missing), refused(404, missing))
        deepEqual(await subject.deaths(), [])
      },
    },
    {
      name: 'answers questions asked together, refused ones among them, each for itself',
      async run(subject) {
        const name = await subject.declared()
        const session = await subject.session()
        const missing = subject.unique('missing')
        const answers = await Promise.allSettled([name, missing, name, missing, name].map((asked) => session.inspect(asked)))
        deepEqual(
          answers.map(({ status }) => status),
          ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
        )
      },
    },
    {
      name: 'tells whether an exchange exists, and creates none by asking',
      async run(subject) {
        const { connection } = subject.connect()
        const source = subject.exchange('topic')
        if (!(await subject.session()).inspectExchange) return rejects(connection.inspect(source), UnsupportedError)
        for (let asked = 0; asked < 2; asked++) await rejects(connection.inspect(source), refused(404, source.name))
        await connection.declare(source)
        await connection.inspect(source)
        // The type is not asked for.
        await connection.inspect({ ...source, type: 'fanout' })
        await connection.inspect(defaultExchange)
        await connection.delete(source)
        await rejects(connection.inspect(source), refused(404, source.name))
      },
    },
    {
      name: 'counts a binding made twice once',
      async run(subject) {
        const session = await subject.session()
        const source = subject.exchange('direct')
        const target = subject.queue({ bindings: [bind(source, 'k'), bind(source, 'k')] })
        await session.declareQueue(target)
        await subject.publish([outgoing(source.name, 'k', 'once')])
        deepEqual(await subject.drain(target.name), ['once'])
      },
    },
    {
      name: 'unbinds one binding and keeps the others; one that is gone is no error',
      async run(subject) {
        const session = await subject.session()
        const source = subject.exchange('direct')
        const target = subject.queue({ bindings: [bind(source, 'a'), bind(source, 'b')] })
        await session.declareQueue(target)
        await session.unbind(target.name, source.name, 'a', {})
        await session.unbind(target.name, source.name, 'a', {})
        await session.unbind(subject.unique('missing'), source.name, 'a', {})
        await subject.publish([outgoing(source.name, 'a', 'not'), outgoing(source.name, 'b', 'still')])
        deepEqual(await subject.drain(target.name), ['still'])
      },
    },
    {
      name: 'purges what is ready and tells how much',
      async run(subject) {
        const session = await subject.session()
        const name = await subject.declared()
        await subject.send(name, 'held', 'a', 'b')
        const held = await subject.next(name)
        equal(await session.purge(name), 2)
        equal(await session.get(name), undefined)
        equal(await held.settle('requeue'), true)
        await subject.counts(name, { messages: 1 })
      },
    },
    {
      name: 'deletes a queue with what it holds, and what is gone is no error',
      async run(subject) {
        const session = await subject.session()
        const name = await subject.declared()
        await subject.send(name, 'a')
        await session.deleteQueue(name)
        await session.deleteQueue(name)
        await rejects(session.inspect(name), refused(404, name))
      },
    },
    {
      name: 'deletes an exchange with its bindings',
      async run(subject) {
        const session = await subject.session()
        const source = subject.exchange('fanout')
        const target = subject.queue({ bindings: [bind(source)] })
        await session.declareQueue(target)
        await session.deleteExchange(source.name)
        await session.declareExchange(source)
        await subject.publish([outgoing(source.name, '', 'unbound')])
        deepEqual(await subject.drain(target.name), [])
      },
    },
  ],
}
