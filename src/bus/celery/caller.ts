/** Calls tasks of Celery workers, and waits for their results as Celery's rpc:// backend does: in a queue of the caller's own. */
import { randomUUID } from 'node:crypto'
import { sleep, systemClock } from '../../core/clock.ts'
import type { Connection } from '../../core/connection.ts'
import type { Consumer } from '../../core/consumer.ts'
import type { Delivery } from '../../core/delivery.ts'
import { queue } from '../../core/entities.ts'
import { ClosedError, ConfigError, RequestError } from '../../core/errors.ts'
import { show } from '../../core/options.ts'
import type { ResultStore } from '../../core/results.ts'
import { validateWith } from '../event.ts'
import { callMessage } from './outgoing.ts'
import { finalResultIn, finalResultInText, taskErrorOf, type TaskResult } from './result.ts'
import { isTask, type Kwargs, type Task } from './task.ts'

export interface SendOptions {
  readonly kwargs?: Kwargs
  /** Where to, instead of the task's own queue. */
  readonly queue?: string
  /** @default a random UUID */
  readonly id?: string
  /** Not to be run before: so many milliseconds from now. */
  readonly countdownMs?: number
  /** Not to be run after: so many milliseconds from now. */
  readonly expiresMs?: number
  /** 0 to 255. */
  readonly priority?: number
  /** For the broker to take it. Milliseconds. @default 10_000 */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

export interface CallOptions extends Omit<SendOptions, 'deadlineMs'> {
  /** The result must be there by then. Milliseconds. @default 60_000 */
  readonly timeoutMs?: number
}

interface Waiting {
  readonly resolve: (result: TaskResult) => void
  readonly reject: (error: Error) => void
}

const PUBLISH_MS = 10_000
const AGAIN_MS = 50

export interface TaskCallerOptions {
  readonly connection: Connection
  /** Where workers keep results; undefined: they send them. */
  readonly results: ResultStore | undefined
  /** Who calls. */
  readonly source: string
}

/** Where a result will be, and what says so. */
interface Place {
  readonly replyTo?: string
  leave(): void
}

export class TaskCaller {
  readonly #options: TaskCallerOptions
  readonly #waiting = new Map<string, Waiting>()
  #results: Promise<Consumer> | undefined

  constructor(options: TaskCallerOptions) {
    this.#options = options
  }

  /** Resolves with the task's id when the broker has the call. */
  async send(task: Task, args: readonly unknown[], options: SendOptions = {}, place?: Place): Promise<string> {
    if (!isTask(task)) throw new ConfigError('call()', [{ path: 'task', expected: 'a task made by task()', got: show(task) }])
    if (!Array.isArray(args)) throw new ConfigError('call()', [{ path: 'args', expected: 'a list', got: show(args) }])
    const { kwargs = {}, id = randomUUID(), countdownMs, expiresMs, priority, deadlineMs = PUBLISH_MS, signal } = options
    if (task.args) await validateWith(task.args, args, `args of ${task.name}`)
    if (task.kwargs) await validateWith(task.kwargs, kwargs, `kwargs of ${task.name}`)
    const later = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : systemClock.wall() + ms)
    const { body, properties } = callMessage({
      id,
      origin: this.#options.source,
      name: task.name,
      args,
      kwargs,
      eta: later(countdownMs),
      expires: later(expiresMs),
      priority,
      wanted: place !== undefined,
      replyTo: place?.replyTo,
    })
    await this.#options.connection.publish('', options.queue ?? task.queue, body, {
      ...properties,
      appId: this.#options.source,
      deadlineMs,
      ...(signal && { signal }),
    })
    return id
  }

  /** Resolves with the result. Rejects with `TaskError`, `PublishError`, `RequestError`, `ValidationError`. */
  async call<Result>(task: Task<readonly unknown[], Result>, args: readonly unknown[], options: CallOptions = {}): Promise<Result> {
    const { timeoutMs = 60_000, id = randomUUID(), signal } = options
    const endsAt = systemClock.monotonic() + timeoutMs
    const { promise, resolve, reject } = Promise.withResolvers<TaskResult>()
    promise.catch(() => undefined)
    const late = `No result of ${task?.name} came within ${timeoutMs} ms; its worker has to have the result backend ${this.#options.results ? 'that results names' : '"rpc://"'}`
    const timer = systemClock.after(timeoutMs, () => reject(new RequestError(late, 'timeout')))
    const onAbort = (): void => reject(new RequestError('Waiting for a result was aborted', 'aborted', { cause: signal?.reason }))
    signal?.addEventListener('abort', onAbort, { once: true })
    let place: Place | undefined
    try {
      this.#waiting.set(id, { resolve, reject })
      const placing = this.#placeFor(id)
      placing.then(
        (late) => this.#waiting.has(id) || late.leave(),
        () => undefined,
      )
      place = await Promise.race([placing, promise.then(() => refuseId(id))])
      const deadlineMs = Math.max(0, Math.min(PUBLISH_MS, endsAt - systemClock.monotonic()))
      await Promise.race([this.send(task, args, { ...options, id, deadlineMs }, place), promise])
      const result = await promise
      if (result.status !== 'SUCCESS') throw taskErrorOf(task.name, result)
      return task.result ? await validateWith(task.result, result.result, `The result of ${task.name}`) : (result.result as Result)
    } finally {
      place?.leave()
      timer.cancel()
      this.#waiting.delete(id)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** The queue of results ended with its link: what was on its way to it cannot come any more. */
  lost(): void {
    // A store keeps them.
    if (this.#options.results) return
    this.#rejectAll(new RequestError('The result cannot come any more, since the connection was lost; the task may have been run', 'lost'))
  }

  close(): void {
    this.#rejectAll(new ClosedError('The bus was closed before the result came'))
  }

  async #placeFor(id: string): Promise<Place> {
    const { results: store } = this.#options
    if (store) {
      const watch = store.watch(id, (text) => {
        const result = finalResultInText(text)
        if (result) this.#waiting.get(id)?.resolve(result)
      })
      await watch.begun
      return { leave: () => watch.stop() }
    }
    const results = await this.#resultQueue()
    // After a loss it has another name, as soon as it has one.
    while (!results.subscribed && this.#waiting.has(id)) await sleep(AGAIN_MS)
    return { replyTo: results.queueName, leave: () => undefined }
  }

  /** Taken up again after a loss, under another name. */
  #resultQueue(): Promise<Consumer> {
    this.#results ??= this.#options.connection
      .consume(queue(''), (delivery) => this.#onResult(delivery), { noAck: true })
      .catch((error: unknown) => {
        this.#results = undefined
        throw error
      })
    return this.#results
  }

  #onResult(delivery: Delivery): void {
    let result: TaskResult | undefined
    try {
      result = finalResultIn(delivery.payload)
    } catch (error) {
      return this.#waiting.get(delivery.properties.correlationId ?? '')?.reject(error as Error)
    }
    if (result) this.#waiting.get(delivery.properties.correlationId ?? result.task_id)?.resolve(result)
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error)
  }
}

/** There is a result before the call. */
function refuseId(id: string): never {
  throw new ConfigError('call()', [{ path: 'id', expected: 'an id that no call has had before', got: show(id) }])
}
