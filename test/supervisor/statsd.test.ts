/** Metrics, as a statsd that listens receives them. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { omnibus } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'

const APP = `export default (request, response) => {
  response.statusCode = request.url === '/gone' ? 404 : 200
  response.end('hello')
}
`

interface Statsd extends Disposable {
  readonly port: number
  /** All it has received, sums of counters and values of the rest, by name and tags. */
  received(): Map<string, number[]>
}

async function listenAsStatsd(): Promise<Statsd> {
  const socket = createSocket('udp4')
  const metrics: string[] = []
  socket.on('message', (packet) => metrics.push(...packet.toString().split('\n').filter(Boolean)))
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    port: socket.address().port,
    received() {
      const found = new Map<string, number[]>()
      for (const metric of metrics) {
        const [, name = metric, value = NaN, rest = ''] = /^([^:]+):([\d.]+)(.*)$/.exec(metric) ?? []
        found.set(name + rest, [...(found.get(name + rest) ?? []), Number(value)])
      }
      return found
    },
    [Symbol.dispose]: () => void socket.close(),
  }
}

const sum = (values: readonly number[] = []): number => values.reduce((all, value) => all + value, 0)

test.each(['process', 'thread'])("requests and workers under Gunicorn's names, with the tags (%s)", async (kind) => {
  using statsd = await listenAsStatsd()
  const cwd = tempDir('statsd')
  const port = await freePort()
  writeFileSync(join(cwd, 'web.mjs'), APP)
  const metrics = `statsd: { host: '127.0.0.1:${statsd.port}', tags: { env: 'test' } }`
  const web = `web: { entry: './web.mjs', bind: '127.0.0.1:${port}', workers: 2, kind: '${kind}' }`
  writeFileSync(join(cwd, 'omnibus.config.mjs'), `export default { bus: { url: 'amqp://127.0.0.1:1/' }, ${web}, ${metrics} }\n`)
  await using master = omnibus(['serve'], { cwd })
  await master.line(/Listening on/)
  const paths = ['/', '/', '/gone', '/']
  for (const path of paths) await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
  await waitFor(() => statsd.received().get('gunicorn.workers|g|#env:test')?.at(-1) === 2, { what: 'both workers' })
  // Also what was held back at the end.
  master.signal('SIGTERM')
  expect((await master.exit()).code).toBe(0)
  await waitFor(() => sum(statsd.received().get('gunicorn.requests|c|#env:test')) === paths.length, { what: 'all requests' })
  const received = statsd.received()
  expect(sum(received.get('gunicorn.request.status.200|c|#env:test'))).toBe(3)
  expect(sum(received.get('gunicorn.request.status.404|c|#env:test'))).toBe(1)
  const durations = received.get('gunicorn.request.duration|ms|#env:test') ?? []
  expect(durations).toHaveLength(paths.length)
  for (const ms of durations) expect(ms).toBeGreaterThan(0)
  expect(received.get('gunicorn.workers|g|#env:test')?.at(-1)).toBe(0)
})

test('what became of messages, by the name of who had them', async () => {
  using statsd = await listenAsStatsd()
  const target = createServer((request, response) => {
    request.resume()
    response.writeHead(request.headers['ce-type'] === 'bad' ? 422 : 204).end()
  }).listen(0, '127.0.0.1')
  await once(target, 'listening')
  const cwd = tempDir('statsd')
  const port = await freePort()
  const forward = `forward: { out: { queue: 'out', to: 'http://127.0.0.1:${(target.address() as AddressInfo).port}/' } }`
  const rest = `gateway: { listen: '127.0.0.1:${port}' }, statsd: { host: '127.0.0.1:${statsd.port}', prefix: 'shop' }`
  writeFileSync(join(cwd, 'omnibus.config.mjs'), `export default { ${forward}, ${rest} }\n`)
  await using master = omnibus(['serve'], { cwd })
  await master.line('sends out to')
  for (const type of ['good', 'bad', 'good']) {
    const headers = { 'ce-specversion': '1.0', 'ce-id': type, 'ce-source': 's', 'ce-type': type }
    const url = `http://127.0.0.1:${port}/publish?exchange=&routing_key=out`
    expect((await fetch(url, { method: 'POST', headers, body: '{}' })).status).toBe(202)
  }
  const told = (what: string): readonly number[] => statsd.received().get(`shop.messages.out.${what}`) ?? []
  await waitFor(() => sum(told('handled|c')) === 2 && sum(told('dead_lettered|c')) === 1, { what: 'both counters' })
  await waitFor(() => told('waiting|g').at(-1) === 0 && told('in_flight|g').at(-1) === 0, { what: 'the gauges' })
  expect(told('retried|c')).toEqual([])
  target.close()
})
