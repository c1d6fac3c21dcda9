import { expect, it } from 'vitest'
import { RequestError, UnsupportedError } from '../../src/core/errors.ts'
import { settle } from './fake-clock.ts'
import { bodies, CONFIRMED, endOf, setUp } from './scripted-connection.ts'

it('says what speaks against a request, and does not wait for an answer that cannot come', async () => {
  const { connection } = setUp()
  const end = endOf(connection.request('logs', 'info', 'hello'))
  await settle()
  expect(end.error).toBeInstanceOf(UnsupportedError)
  await expect(connection.request('logs', 'info', 'hello')).rejects.toBeInstanceOf(UnsupportedError)
  await expect(connection.request('logs', 'info', 'hello', { replyTo: 'mine' })).rejects.toThrow(
    'request() cannot be used:\n  replyTo: expected nothing, since request() sets it, got "mine"',
  )
})

it('gives up a request that a lost link took with it, and sends again the one that the broker never took', async () => {
  const { clock, connection, publishing, transport } = setUp()
  transport.capabilities.directReply = true
  const taken = endOf(connection.request('jobs', '', 'taken'))
  const untaken = endOf(connection.request('jobs', '', 'untaken'))
  await settle()
  publishing().requested[0]!.answer(CONFIRMED)
  await settle()
  publishing().die()
  await clock.pass(200)
  expect(taken.error).toBeInstanceOf(RequestError)
  expect(taken.error).toMatchObject({ reason: 'lost' })
  expect(untaken).toEqual({})
  expect(bodies({ sent: publishing().requested })).toEqual(['untaken'])
})
