/** Runs once before all tests: brings the programs they need, and hands out the one RabbitMQ a run shares. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestProject } from 'vitest/node'
import { ensurePackages, packageNames } from './packages.ts'
import { startRabbit, type RabbitServer } from './rabbitmq.ts'
import type {} from './shared-rabbit.ts'

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const url = process.env['AMQP_URL']
  const { missing, why } = await ensurePackages(packageNames.filter((name) => url === undefined || name !== 'rabbitmq-server'))
  const loudly = `NOT TESTED: all that needs ${missing.join(', ')} (${why})`
  if (missing.length > 0) {
    if (process.env['CI'] === 'true') throw new Error(loudly)
    process.stderr.write(`\n${loudly}\n\n`)
  }

  let rabbit: Promise<RabbitServer> | undefined
  const server = createServer((_request, response) => {
    const answer = (status: number, text: string): unknown => response.writeHead(status, { 'content-type': 'text/plain' }).end(text)
    if (url !== undefined) return void answer(200, url)
    rabbit ??= startRabbit()
    rabbit.then(
      ({ url }) => answer(200, url),
      (error: unknown) => answer(500, String(error)),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  project.provide('shared', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)

  return async () => {
    server.closeAllConnections()
    server.close()
    await (await rabbit?.catch(() => undefined))?.[Symbol.asyncDispose]()
    if (missing.length > 0) process.stderr.write(`\n${loudly}\n`)
  }
}
