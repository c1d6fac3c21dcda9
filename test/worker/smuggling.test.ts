import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { bindSocket, fixture, startWeb } from './child.ts'
import { ask } from './load.ts'
import { smuggling } from './smuggling.ts'

test('a request with two ends is refused once, and what hides behind it never reaches the app', async () => {
  using socket = bindSocket()
  await using child = startWeb(fixture('web/seen.mjs'), socket)
  await child.message('ready')
  const outcomes = Object.entries(smuggling).map(async ([name, bytes]) => {
    const client = connect(socket.port, '127.0.0.1')
    let answer = ''
    client.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
    // A reset is what a close comes out as where bytes were left unread.
    client.on('error', () => {})
    client.write(bytes, 'latin1')
    await new Promise((resolve) => client.once('close', resolve))
    return [name, [...answer.matchAll(/^HTTP\/\S+ (\d+)/gm)].map(([, status]) => status).join()] as const
  })
  const wrong = (await Promise.all(outcomes)).filter(([, answers]) => answers !== '400' && answers !== '')
  expect(wrong).toEqual([])
  // The app may have begun to read a body that turned out to be malformed. This request is the proof that it would tell.
  const seen = JSON.parse(await ask(`${socket.url}/seen`)) as string[]
  expect(new Set(seen)).toEqual(new Set(['/', '/seen']))
})
