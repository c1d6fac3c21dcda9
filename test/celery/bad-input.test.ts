/** Calls that no Celery writes: each is a dead letter that says what was wrong, its caller is told the same, and the next call is handled. */
import { expect, test } from 'vitest'
import { connect, consume, createBus, type Headers, on, queue, task } from '../../src/index.ts'
import { unique } from '../bus/brokers.ts'
import { waitFor } from '../support/wait.ts'

const good = { lang: 'py', task: 'add', retries: 0, timelimit: [null, null], eta: null, expires: null }
const nothing = { callbacks: null, errbacks: null, chain: null, chord: null }
const signature = { task: 'x', args: [], kwargs: {}, options: {}, subtask_type: null, immutable: false }
const group = { ...signature, task: 'celery.group', kwargs: { tasks: [signature] }, subtask_type: 'group' }

type Row = readonly [what: string, message: { headers?: Record<string, unknown>; body?: unknown }, reason: string]
const withEmbed = (embed: unknown): { body: unknown } => ({ body: [[], {}, embed] })

const rows: readonly Row[] = [
  ['a body that is no list', { body: { args: [] } }, 'Expected the body of a Celery task, [args, kwargs, embed], got {"args":[]}'],
  ['a body cut short', { body: [[], {}] }, '[args, kwargs, embed], got [[],{}]'],
  ['args that are no list', { body: ['ab', {}, nothing] }, '[args, kwargs, embed], got ["ab"'],
  ['kwargs that are no map', { body: [[], [], nothing] }, '[args, kwargs, embed], got [[],[]'],
  ['embed that is no map', withEmbed([]), '[args, kwargs, embed], got [[],{},[]]'],
  ['eta that is a number', { headers: { eta: 5 } }, 'Expected eta of a Celery task as a date as ISO 8601 has it, got 5'],
  ['eta that is no date', { headers: { eta: 'tomorrow' } }, 'Expected eta of a Celery task as a date as ISO 8601 has it, got "tomorrow"'],
  ['a date of no calendar', { headers: { expires: '2026-13-01T00:00:00' } }, 'Expected expires of a Celery task as a date'],
  ['retries that are a text', { headers: { retries: '1' } }, 'Expected retries of a Celery task as a whole number from 0, got "1"'],
  ['retries below zero', { headers: { retries: -1 } }, 'a whole number from 0, got -1'],
  ['a limit that is one number', { headers: { timelimit: 3 } }, 'Expected timelimit of a Celery task as a list, got 3'],
  ['a limit that is a text', { headers: { timelimit: [null, '3'] } }, 'Expected timelimit of a Celery task as seconds, got "3"'],
  ['a root that is a number', { headers: { root_id: 7 } }, 'Expected root_id of a Celery task as a text, got 7'],
  ['a group that is a list', { headers: { group: ['g'] } }, 'Expected group of a Celery task as a text, got ["g"]'],
  ['callbacks that are one text', withEmbed({ callbacks: 'x' }), 'Expected callbacks of a Celery task as a list, got "x"'],
  [
    'a callback without a task',
    withEmbed({ callbacks: [{}] }),
    'Expected callbacks of a Celery task as a signature, which names a task, got {}',
  ],
  ['options that are a list', withEmbed({ chain: [{ ...signature, options: [] }] }), 'Expected options of a Celery task as a map, got []'],
  [
    'a countdown that is a text',
    withEmbed({ chain: [{ ...signature, options: { countdown: '3' } }] }),
    'Expected countdown of a Celery task as seconds',
  ],
  [
    'a queue that is a map',
    withEmbed({ errbacks: [{ ...signature, options: { queue: {} } }] }),
    'Expected queue of a Celery task as a text, got {}',
  ],
  [
    'a group that is not the last',
    withEmbed({ chain: [signature, group] }),
    'Expected chain of a Celery task as a chain whose group is at its end',
  ],
  [
    'a group without its tasks',
    withEmbed({ chain: [{ ...group, kwargs: { tasks: 3 } }] }),
    'Expected tasks of a Celery task as a list, got 3',
  ],
  [
    'a chord that nobody can count',
    { headers: { group: 'g' }, ...withEmbed({ chord: signature }) },
    'A chord of Celery needs results in Redis on both sides',
  ],
  [
    'a chord of more than tasks',
    withEmbed({
      chain: [
        {
          ...signature,
          subtask_type: 'chord',
          kwargs: { header: [{ ...signature, subtask_type: 'chord', kwargs: { header: [], body: signature } }], body: signature },
        },
      ],
    }),
    'A chord in the chain of a Celery task is of more than tasks and chains of tasks',
  ],
  [
    'a chord without its body',
    withEmbed({ chain: [{ ...signature, subtask_type: 'chord', kwargs: { header: [] } }] }),
    'Expected chain of a Celery task as a signature, which names a task, got nothing',
  ],
  ['an id that is a number', { headers: { id: 7 } }, 'Expected id in the headers of a Celery task as a text, got 7'],
  ['no id', { headers: { id: null } }, 'Expected id in the headers of a Celery task as a text, got null'],
  ['no task', { headers: { task: null } }, 'Expected task in the headers of a Celery task as a text, got null'],
]

test('each is a dead letter that says why, and its caller hears the same', async () => {
  const url = `memory:${unique('bad')}`
  const [calls, answers] = [unique('calls'), unique('answers')]
  const handled: unknown[] = []
  await using bus = createBus({ url, onEvent: () => undefined })
  await bus.consume(
    consume(
      queue(calls),
      on(task('add'), (call) => void handled.push(call)),
    ),
  )
  await using connection = connect(url)
  await connection.declare(queue(answers))
  const publish = (id: string, headers: Record<string, unknown> = {}, body: unknown = [[], {}, nothing]): Promise<unknown> =>
    connection.publish('', calls, body, { headers: { ...good, id, ...headers } as Headers, correlationId: id, replyTo: answers })
  for (const [what, { headers, body }] of rows) await publish(what, headers, body)
  // What other clients than Celery's own leave out or write otherwise, and a date without an offset, which is UTC.
  await publish('at last', { retries: null, timelimit: undefined, eta: '2026-01-02T03:04:05.000006', expires: '9999-01-01' }, [
    [],
    {},
    null,
  ])
  await waitFor(() => handled.length > 0, { what: 'the good one' })
  expect(handled).toEqual([expect.objectContaining({ id: 'at last', retries: 0, eta: Date.UTC(2026, 0, 2, 3, 4, 5) })])

  const [reasons, told] = [new Map<unknown, unknown>(), new Map<unknown, unknown>()]
  for (let letter; (letter = await connection.get(`${calls}.dlq`)); await letter.ack())
    reasons.set(letter.properties.correlationId, letter.properties.headers?.['omnibus-dead-reason'])
  for (let answer; (answer = await connection.get(answers)); await answer.ack()) told.set(answer.properties.correlationId, answer.payload)
  for (const [what, { headers = {} }, reason] of rows) {
    expect.soft(reasons.get(what), what).toContain(reason)
    const isCall = !('id' in headers || 'task' in headers)
    const failure = { status: 'FAILURE', task_id: what, result: { exc_type: 'CodecError', exc_message: [expect.stringContaining(reason)] } }
    if (isCall) expect.soft(told.get(what), what).toMatchObject(failure)
    else expect.soft(told.get(what), what).toBeUndefined()
  }
  expect(reasons.size).toBe(rows.length)
})
