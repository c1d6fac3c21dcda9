/** Queues whose messages are sent on by HTTP: the units under `forward`. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Queue, isQueue, queue as queueOf } from '../core/entities.ts'
import { messageOf, type Problem } from '../core/errors.ts'
import { type Field, flag, object, show, whole } from '../core/options.ts'
import { reportMissing } from './missing.ts'
import { path } from './paths.ts'
import { signingSecret, token } from './secrets.ts'
import { target } from './target.ts'
import { type Context, type CountedConfig, countedFields, type Resolved, resolveCounted } from './unit.ts'

export interface ForwardConfig extends CountedConfig {
  /** A name, for a durable queue without bindings, or what `queue()` returned: declared as it is. */
  queue: string | Queue
  /** `http://` or `https://`. Redirects are not followed. */
  to: string
  /** Requests under way, in each process. @default 10 */
  concurrency?: number
  /** One message at a time, and the next when it is done with; the queue is one with a single active consumer. @default false */
  ordered?: boolean
  /** An answer must be complete by then. Milliseconds. @default 30_000 */
  timeoutMs?: number
  retry?: ForwardRetry
  /** Nothing is fetched before a GET of this URL is answered with 200 to 399, and the target accepts a connection. @default the latter alone */
  ready?: string
  /** Sent along as `Authorization: Bearer`. @default none */
  token?: string
  /** Signs each request as Standard Webhooks has it: `whsec_` and base64. @default none */
  secret?: string
  /** A file of certificates in PEM, one of which vouches for the target. @default those of well-known authorities */
  ca?: string
  /** A host name in `to` or `ready` may lead to this machine or a private network. @default false */
  allowPrivate?: boolean
  /** One whose event loop is silent this long is killed. Milliseconds; 0 never. @default 30_000 */
  heartbeatTimeoutMs?: number
}

export interface ForwardRetry {
  /** The first time included. @default 10 */
  attempts?: number
  /** @default 1_000 */
  minMs?: number
  /** @default 300_000 */
  maxMs?: number
}

export interface ResolvedForward extends Resolved<Omit<ForwardConfig, 'queue' | 'retry'>, 'ready' | 'token' | 'secret' | 'ca'> {
  readonly queue: Queue
  readonly retry: Required<ForwardRetry>
}

/** A target that is starved of attempts by a deploy of some minutes would leave its messages among the dead letters. */
const RETRY: Required<ForwardRetry> = { attempts: 10, minMs: 1_000, maxMs: 300_000 }

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

export const forwardField: Field<ForwardConfig> = object<ForwardConfig>({
  queue,
  to: target,
  concurrency: whole({ min: 1, max: 10_000 }),
  ordered: flag(),
  timeoutMs: whole({ min: 1 }),
  retry: object<ForwardRetry>({ attempts: whole({ min: 1 }), minMs: whole({ min: 1 }), maxMs: whole({ min: 1 }) }),
  ready: target,
  token,
  secret: signingSecret,
  ca: path,
  allowPrivate: flag(),
  heartbeatTimeoutMs: whole(),
  ...countedFields,
})

export function resolveForward(given: Partial<ForwardConfig>, at: string, context: Context): ResolvedForward {
  const { base, problems } = context
  if (given.queue === undefined) reportMissing(`${at}.queue`, 'the queue whose messages are sent', problems)
  if (given.to === undefined) reportMissing(`${at}.to`, 'the URL they are sent to', problems)
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
    ...resolveCounted(given, context),
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
