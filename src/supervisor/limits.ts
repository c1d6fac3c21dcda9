/** When a process that works well is replaced all the same: for what it may have leaked. */
import type { UnitStatus } from './protocol.ts'

/** 0 never. */
export interface Limits {
  readonly maxRequests?: number
  readonly maxRequestsJitter?: number
  readonly maxLifetimeMs: number
  readonly maxLifetimeJitterMs: number
  /** Resident, MiB. */
  readonly maxMemoryMb: number
}

/** Those of one process, with its own share of the jitter. */
export interface OwnLimits {
  readonly requests: number
  readonly memoryMb: number
  /** On the monotonic clock. */
  readonly expiresAt: number | undefined
}

/** `random` is from 0 to 1. */
export function ownLimits(limits: Limits | undefined, now: number, random: () => number): OwnLimits | undefined {
  if (!limits) return undefined
  const { maxRequests = 0, maxRequestsJitter = 0, maxLifetimeMs, maxLifetimeJitterMs, maxMemoryMb } = limits
  return {
    requests: maxRequests > 0 ? maxRequests + Math.round(maxRequestsJitter * random()) : Infinity,
    memoryMb: maxMemoryMb > 0 ? maxMemoryMb : Infinity,
    expiresAt: maxLifetimeMs > 0 ? now + maxLifetimeMs + maxLifetimeJitterMs * random() : undefined,
  }
}

/** Which limit the last beat is beyond, for people. */
export function exceeded({ requests, memoryMb }: OwnLimits, status: UnitStatus): string | undefined {
  if ((status.requests ?? 0) >= requests) return `has had ${status.requests} requests`
  if ((status.memoryMb ?? 0) > memoryMb) return `uses ${status.memoryMb} MiB of memory`
  return undefined
}
