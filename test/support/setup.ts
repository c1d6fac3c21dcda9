/**
 * Runs once before all tests: brings the programs they need, hands out the one RabbitMQ, Redis, PostgreSQL and SQS a run shares, and
 * afterwards leaves no process and no file behind, unless a test failed: then what the run wrote is kept in .artifacts.
 */
import { once } from 'node:events'
import { cpSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { ensurePackages, packageNames } from './packages.ts'
import { startPostgres } from './postgres.ts'
import { killMarked } from './processes.ts'
import { startRabbit } from './rabbitmq.ts'
import { startRedis } from './redis.ts'
import { makeRunFolder, RUN_FOLDER } from './run-folder.ts'
import { startSqs } from './sqs.ts'
import type {} from './shared-rabbit.ts'

interface Shared extends AsyncDisposable {
  readonly url: string
}

/** Failed runs whose files are kept. */
const KEPT_RUNS = 10

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = {
    rabbitmq: process.env['AMQP_URL'],
    redis: process.env['REDIS_URL'],
    postgresql: process.env['POSTGRES_URL'],
    sqs: process.env['SQS_URL'],
  }
  const wanted = packageNames.filter((name) => given[name.replace(/-server$/, '') as keyof typeof given] === undefined)
  const { missing, why } = await ensurePackages(wanted)
  const loudly = `NOT TESTED: all that needs ${missing.join(', ')} (${why})`
  if (missing.length > 0) {
    if (process.env['CI'] === 'true') throw new Error(loudly)
    process.stderr.write(`\n${loudly}\n\n`)
  }

  const folder = makeRunFolder()
  process.env[RUN_FOLDER] = folder
  // Nobody kills the shared one.
  const start = { rabbitmq: startRabbit, redis: () => startRedis(['--save', '']), postgresql: startPostgres, sqs: startSqs }
  const started = new Map<string, Promise<Shared>>()
  const server = createServer((request, response) => {
    const answer = (status: number, text: string): unknown => response.writeHead(status, { 'content-type': 'text/plain' }).end(text)
    const name = request.url?.slice(1) as keyof typeof start
    if (given[name] !== undefined) return void answer(200, given[name])
    const broker = started.get(name) ?? start[name]()
    started.set(name, broker)
    broker.then(
      ({ url }) => answer(200, url),
      (error: unknown) => answer(500, String(error)),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  project.provide('shared', `http://127.0.0.1:${(server.address() as AddressInfo).port}`)

  return async () => {
    server.closeAllConnections()
    server.close()
    for (const broker of started.values()) await (await broker.catch(() => undefined))?.[Symbol.asyncDispose]()
    killMarked(folder)
    if (project.vitest.state.getCountOfFailedTests() > 0 && readdirSync(folder).length > 0) {
      const kept = join(project.vitest.config.root, '.artifacts', basename(folder))
      prune(dirname(kept))
      // Sockets and pipes cannot be copied.
      cpSync(folder, kept, { recursive: true, filter: isPlain })
      process.stderr.write(`\nWhat the tests wrote is kept in ${kept}\n`)
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    if (missing.length > 0) process.stderr.write(`\n${loudly}\n`)
  }
}

/** All but the newest few. */
function prune(folder: string): void {
  mkdirSync(folder, { recursive: true })
  const age = (name: string): number => lstatSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0
  const names = readdirSync(folder).toSorted((a, b) => age(b) - age(a))
  for (const name of names.slice(KEPT_RUNS - 1)) rmSync(join(folder, name), { recursive: true, force: true })
}

function isPlain(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat !== undefined && (stat.isFile() || stat.isDirectory())
}
