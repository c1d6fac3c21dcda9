/** Task messages as they are sent, by protocol 2, as Celery 5.2 to 5.6 write them. */
import type { Headers, MessageProperties } from '../../core/message.ts'
import type { Kwargs } from './task.ts'

export interface OutgoingCall {
  readonly id: string
  readonly name: string
  readonly args: readonly unknown[]
  readonly kwargs: Kwargs
  readonly origin: string
  /** Milliseconds since 1970. */
  readonly eta?: number | undefined
  readonly expires?: number | undefined
  readonly priority?: number | undefined
  /** Whether anybody wants the result, and the queue where it is waited for, if that is one. */
  readonly wanted: boolean
  readonly replyTo?: string | undefined
  /** @default its own id */
  readonly rootId?: string
  readonly parentId?: string
  readonly groupId?: string | undefined
  readonly groupIndex?: number | undefined
  readonly shadow?: string | undefined
  /** Seconds. */
  readonly timeLimits?: readonly [hard: number | undefined, soft: number | undefined]
  readonly callbacks?: readonly unknown[]
  readonly errbacks?: readonly unknown[]
  readonly chain?: readonly unknown[]
  readonly chord?: unknown
  readonly headers?: Headers
}

export function callMessage(call: OutgoingCall): { readonly body: unknown; readonly properties: MessageProperties } {
  const { id, name, args, kwargs, eta, expires, priority, replyTo, timeLimits: [hard, soft] = [], chord } = call
  const headers: Headers = {
    lang: 'js',
    task: name,
    id,
    shadow: call.shadow ?? null,
    eta: isoOf(eta),
    expires: isoOf(expires),
    group: call.groupId ?? null,
    group_index: call.groupIndex ?? null,
    retries: 0,
    timelimit: [hard ?? null, soft ?? null],
    root_id: call.rootId ?? id,
    parent_id: call.parentId ?? null,
    argsrepr: shortened(args),
    kwargsrepr: shortened(kwargs),
    origin: call.origin,
    ignore_result: !call.wanted,
    ...call.headers,
  }
  const embed = { callbacks: call.callbacks ?? null, errbacks: call.errbacks ?? null, chain: call.chain ?? null, chord: chord ?? null }
  return {
    body: [args, kwargs, embed],
    properties: { correlationId: id, headers, ...(replyTo !== undefined && { replyTo }), ...(priority !== undefined && { priority }) },
  }
}

const isoOf = (time: number | undefined): string | null => (time === undefined ? null : new Date(time).toISOString())

/** What tools for Celery show of a call. */
const shortened = (value: unknown): string => {
  const text = JSON.stringify(value) ?? ''
  return text.length > 1_024 ? `${text.slice(0, 1_021)}...` : text
}
