/** Messages by HTTP: the units under `forward`, which send them, and the `gateway`, which takes them. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Queue, isQueue, queue as queueOf } from '../core/entities.ts'
import { messageOf, type Problem } from '../core/errors.ts'
import { type Field, type Fields, flag, object, record, show, text, whole } from '../core/options.ts'
import { isLoopback, normalAddress } from './address.ts'
import { target } from './target.ts'
import type { ForwardConfig, ForwardRetry, GatewayConfig, OmnibusConfig, ResolvedForward, ResolvedGateway } from './types.ts'

/** A target that is starved of attempts by a deploy of some minutes would leave its messages among the dead letters. */
const RETRY: Required<ForwardRetry> = { attempts: 10, minMs: 1_000, maxMs: 300_000 }
/** Standard Webhooks: 24 to 64 bytes in base64, behind a prefix. */
const SIGNING_SECRET = /^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/

const queue: Field<string | Queue> = {
  read(value, at, problems) {
    if (isQueue(value)) {
      // Each of its processes would get one of its own.
      if (value.name !== '' && !value.exclusive) return value
      return void problems.push({
        path: at,
        expected: 'a queue that others can publish to',
        got: 'one that is named by the broker or exclusive',
      })
    }
    if (typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= 255) return value
    return void problems.push({ path: at, expected: 'a name of 1 to 255 bytes, or what queue() returns', got: show(value) })
  },
}

/** What is wrong is told, and what is there is not. */
function hidden(expected: string, test: (value: string) => boolean): Field<string> {
  return {
    read(value, at, problems) {
      if (typeof value === 'string' && test(value)) return value
      return void problems.push({ path: at, expected, got: typeof value === 'string' ? 'another text' : show(value) })
    },
  }
}

// RFC 6750 §2.1.
const token = hidden('a token of letters, digits and -._~+/=', (value) => /^[\w.~+/-]+=*$/.test(value))

export const forwardFields = (
  shared: Pick<Fields<ForwardConfig>, 'instances' | 'minReady' | 'maxLifetimeMs' | 'maxLifetimeJitterMs' | 'maxMemoryMb' | 'restart'>,
): Pick<Fields<OmnibusConfig>, 'forward' | 'gateway'> => ({
  forward: record(
    object<ForwardConfig>({
      queue,
      to: target,
      concurrency: whole({ min: 1, max: 10_000 }),
      ordered: flag(),
      timeoutMs: whole({ min: 1 }),
      retry: object<ForwardRetry>({ attempts: whole({ min: 1 }), minMs: whole({ min: 1 }), maxMs: whole({ min: 1 }) }),
      ready: target,
      token,
      secret: hidden('whsec_ and 24 to 64 bytes in base64', (value) => SIGNING_SECRET.test(value)),
      ca: text({ expected: 'a path', test: (value) => value !== '' }),
      allowPrivate: flag(),
      heartbeatTimeoutMs: whole(),
      startTimeoutMs: whole({ min: 1 }),
      ...shared,
    }),
  ),
  gateway: object<GatewayConfig>({
    listen: text({ expected: 'host:port or unix:/path', test: (value) => normalAddress(value, '/') !== undefined }),
    token,
    maxBodyBytes: whole({ min: 1 }),
    maxConcurrent: whole({ min: 1 }),
    restart: shared.restart,
  }),
})

/** Without what it has in common with other units. */
export function resolveForward(
  given: ForwardConfig,
  at: string,
  base: string,
  problems: Problem[],
): Omit<ResolvedForward, 'instances' | 'minReady' | 'maxLifetimeMs' | 'maxLifetimeJitterMs' | 'maxMemoryMb' | 'restart'> {
  const missing = (path: 'queue' | 'to', expected: string): void => {
    // A value that cannot be used was reported where it was read.
    const isReported = problems.some((problem) => problem.path === `${at}.${path}`)
    if (given[path] === undefined && !isReported) problems.push({ path: `${at}.${path}`, expected, got: 'nothing' })
  }
  missing('queue', 'the queue whose messages are sent')
  missing('to', 'the URL they are sent to')
  const { ordered = false, ready, token: bearer, secret } = given
  if (ordered && given.concurrency !== undefined && given.concurrency !== 1)
    problems.push({ path: `${at}.concurrency`, expected: 'nothing with ordered, which sends one at a time', got: show(given.concurrency) })
  return {
    queue: declared(given.queue ?? at, ordered, `${at}.queue`, problems),
    to: given.to ?? '',
    concurrency: ordered ? 1 : (given.concurrency ?? 10),
    ordered,
    timeoutMs: given.timeoutMs ?? 30_000,
    retry: { ...RETRY, ...given.retry },
    ...(ready !== undefined && { ready }),
    ...(bearer !== undefined && { token: bearer }),
    ...(secret !== undefined && { secret }),
    ...(given.ca !== undefined && { ca: certificates(resolve(base, given.ca), `${at}.ca`, problems) }),
    allowPrivate: given.allowPrivate ?? false,
    heartbeatTimeoutMs: given.heartbeatTimeoutMs ?? 30_000,
    startTimeoutMs: given.startTimeoutMs ?? 30_000,
  }
}

/** In order is only what one consumer at a time takes, whatever the number of processes, here and elsewhere. */
function declared(given: string | Queue, ordered: boolean, at: string, problems: Problem[]): Queue {
  if (typeof given === 'string') return queueOf(given, { singleActiveConsumer: ordered })
  if (ordered && given.arguments['x-single-active-consumer'] !== true)
    problems.push({ path: at, expected: 'a queue with singleActiveConsumer, since ordered is set', got: `${show(given.name)} without` })
  return given
}

/** Told here, and read anew by each process. */
function certificates(file: string, at: string, problems: Problem[]): string {
  try {
    if (readFileSync(file, 'latin1').includes('-----BEGIN CERTIFICATE-----')) return file
    problems.push({ path: at, expected: 'a file of certificates in PEM', got: `${file}, which has none` })
  } catch (error) {
    problems.push({ path: at, expected: 'a file that can be read', got: messageOf(error) })
  }
  return file
}

export function resolveGateway(given: Partial<GatewayConfig>, base: string, problems: Problem[]): Omit<ResolvedGateway, 'restart'> {
  const { listen = '', token: bearer, maxBodyBytes = 1024 * 1024, maxConcurrent = 1_000 } = given
  const isReported = problems.some(({ path }) => path === 'gateway.listen')
  if (given.listen === undefined && !isReported)
    problems.push({ path: 'gateway.listen', expected: 'host:port or unix:/path', got: 'nothing' })
  const address = normalAddress(listen, base) ?? listen
  if (given.listen !== undefined && bearer === undefined && !isLoopback(address))
    problems.push({ path: 'gateway.token', expected: `a token, since ${listen} can be reached from other machines`, got: 'nothing' })
  return { listen: address, ...(bearer !== undefined && { token: bearer }), maxBodyBytes, maxConcurrent }
}
