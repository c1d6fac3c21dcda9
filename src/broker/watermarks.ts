/** When the broker must stop taking publishes, so that what is settled can still be written and nothing is killed for its size. */
import { statfsSync } from 'node:fs'
import { totalmem } from 'node:os'

export interface Limits {
  /** Of the file system of the data folder. */
  readonly minFreeBytes: number
  /** What messages may take in the store. @default no limit */
  readonly maxStoreBytes: number | undefined
  /** Resident memory of the process. */
  readonly maxMemoryBytes: number
}

export interface Levels {
  readonly freeBytes: number
  readonly storeBytes: number
  readonly memoryBytes: number
}

/** What an alarm for memory must fall below to end, of its limit: resident memory wavers. */
const CALM = 0.95

/** Six tenths of what the process may have, as in RabbitMQ. */
export function defaultMaxMemory(): number {
  // 0 or astronomical where nothing constrains it.
  const constrained = process.constrainedMemory()
  return Math.floor(0.6 * (constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()))
}

export function readLevels(data: string, storeBytes: number): Levels {
  const { bavail, bsize } = statfsSync(data)
  return { freeBytes: bavail * bsize, storeBytes, memoryBytes: process.memoryUsage.rss() }
}

/** Why publishes are blocked at these levels, or undefined. `before` is what was said last. */
export function alarmAt(levels: Levels, limits: Limits, before: string | undefined): string | undefined {
  const { freeBytes, storeBytes, memoryBytes } = levels
  const { minFreeBytes, maxStoreBytes, maxMemoryBytes } = limits
  if (freeBytes < minFreeBytes) return `DISK_LOW: ${freeBytes} bytes are free, ${minFreeBytes} are needed`
  if (maxStoreBytes !== undefined && storeBytes > maxStoreBytes) {
    return `STORE_LARGE: the store holds ${storeBytes} bytes, ${maxStoreBytes} are allowed`
  }
  if (memoryBytes > maxMemoryBytes * (before?.startsWith('MEMORY_HIGH') ? CALM : 1)) {
    return `MEMORY_HIGH: ${memoryBytes} bytes are resident, ${maxMemoryBytes} are allowed`
  }
  return undefined
}
