/** The way of a message to its target: nobody else gets to see it, whatever names, proxies and answers say. */
import dns from 'node:dns'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { once } from 'node:events'
import { connect } from 'omnibus'
import { expect, onTestFinished, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { createSender, type Sender } from '../../src/worker/forward/sender.ts'
import { startBroker } from '../support/broker.ts'
import { omnibus, root } from '../support/omnibus.ts'
import { runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { startTarget, until } from './house.ts'

/** What names lead to as long as the test runs: each answer is given once, and the last for ever. */
function resolving(...answers: (readonly string[])[]): { readonly asked: () => number } {
  const { lookup } = dns
  let asked = 0
  const answer = (_name: string, _options: unknown, callback: (error: null, found: object[]) => void): void =>
    callback(
      null,
      (answers[asked++] ?? answers.at(-1)!).map((address) => ({ address, family: 4 })),
    )
  Object.assign(dns, { lookup: answer })
  syncBuiltinESMExports()
  onTestFinished(() => {
    Object.assign(dns, { lookup })
    syncBuiltinESMExports()
  })
  return { asked: () => asked }
}

function senderTo(to: string): Sender {
  const { forward } = resolveConfig({ forward: { it: { queue: 'q', to, allowPrivate: true } } }, { root: '/' })
  const sender = createSender(forward['it']!)
  onTestFinished(() => sender.close())
  return sender
}

const { signal } = new AbortController()
const METADATA = '169.254.169.254'

test('a name is resolved once for a connection, and one that leads elsewhere for the next is not followed', async () => {
  const target = await startTarget()
  const names = resolving(['127.0.0.1'], ['127.0.0.1'], [METADATA])
  const sender = senderTo(`http://rebound.example:${target.port}/`)
  expect(await sender.whyNotReady(signal)).toBeUndefined()
  for (const body of ['1', '2']) expect(await sender.send({}, Buffer.from(body), signal)).toEqual({ type: 'accepted' })
  expect(names.asked()).toBe(2)
  expect(target.received.map(({ headers }) => headers.host)).toEqual([1, 2].map(() => `rebound.example:${target.port}`))
  await target.close()
  const reason = `rebound.example leads to ${METADATA}, which is no address that messages may go to`
  await until('the refusal', async () => {
    const answer = await sender.send({}, Buffer.from('3'), signal)
    return answer.type === 'unreachable' && answer.reason === reason
  })
})

test('a name that leads to one address too many is not followed', async () => {
  const target = await startTarget()
  resolving(['127.0.0.1', METADATA], [METADATA, '127.0.0.1'])
  const sender = senderTo(`http://both.example:${target.port}/`)
  expect(await sender.whyNotReady(signal)).toContain(METADATA)
  expect(await sender.send({}, Buffer.from('1'), signal)).toMatchObject({ type: 'unreachable' })
  expect(target.received).toEqual([])
})

test('no proxy of the environment is asked, and no secret is told to anybody but the target', async () => {
  await using broker = await startBroker()
  let proxied = 0
  const proxy = createServer((socket) => {
    proxied++
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const target = await startTarget()
  // As a page for debugging does.
  target.answer = ({ headers }) => ({ status: 422, body: JSON.stringify(headers) })
  const cwd = tempDir('secrets')
  const signing = Buffer.alloc(32, 'canary-signing-').toString('base64')
  writeFileSync(join(cwd, 'token'), 'canary-token\n')
  writeFileSync(join(cwd, 'secret'), `whsec_${signing}\n`)
  const url = `http://127.0.0.1:${(proxy.address() as { port: number }).port}`
  const names = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy']
  const env = { NODE_USE_ENV_PROXY: '1', ...Object.fromEntries(names.map((name) => [name, url])) }
  const flags = ['--queue', 'secrets', '--token-file', 'token', '--secret-file', 'secret', '--to', target.url, '--bus-url', broker.tcpUrl]
  await using forwarder = omnibus(['forward', ...flags], { cwd, env })
  await forwarder.line('sends secrets to')
  await using connection = connect(broker.tcpUrl)
  await connection.publish('', 'secrets', { n: 1 })
  await until('the dead letter', async () => (await connection.inspect('secrets.dlq')).messages === 1)
  expect(target.received[0]?.headers.authorization).toBe('Bearer canary-token')
  expect(proxied).toBe(0)
  proxy.close()

  const letter = await connection.get('secrets.dlq')
  const status = await waitFor(
    async () => {
      const { output } = await runToEnd(process.execPath, [join(root, 'dist/cli/main.js'), 'status'], { cwd })
      return /forward\.1 .*1 dead$/m.test(output) && output
    },
    { what: 'the status to tell of it' },
  )
  const { output: processes } = await runToEnd('/bin/sh', ['-c', `ps -o args= -p ${forwarder.processes().join(',')}`])
  expect(processes).toContain('omnibus')
  forwarder.signal('SIGTERM')
  expect(await forwarder.exit()).toMatchObject({ code: 0 })
  const told = [status, processes, JSON.stringify(letter?.properties), ...forwarder.lines].join('\n')
  expect(told).toContain('it answers 422')
  expect(told).not.toMatch(new RegExp(`canary|${signing.slice(0, 12)}`))
})
