/** Parts of a chord in Redis, as Celery's Redis result backend counts them: a sorted set, its size, and what was added to that since. */
import type { Part, Parts } from '../../core/results.ts'

export interface PartKeys {
  readonly parts: string
  readonly size: string
  readonly added: string
  /** Where Celery keeps the structure of results that are more than a list. */
  readonly structure: string
}

export function partKeys(prefix: string, whole: string): PartKeys {
  const structure = `${prefix}celery-taskset-meta-${whole}`
  return { parts: `${structure}.j`, size: `${structure}.s`, added: `${structure}.t`, structure }
}

/** At once, so that exactly one who adds a new part finds them complete. */
const ADD = `
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
local size = redis.call('GET', KEYS[2])
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
if not size or redis.call('ZCARD', KEYS[1]) ~= tonumber(size) + tonumber(redis.call('GET', KEYS[3]) or 0) then return nil end
return { redis.call('EXISTS', KEYS[4]), redis.call('ZRANGE', KEYS[1], 0, -1) }
`

export const addCommand = ({ parts, size, added, structure }: PartKeys, { text, index }: Part, expiresS: number): string[] => [
  'EVAL',
  ADD,
  '4',
  parts,
  size,
  added,
  structure,
  index === undefined ? '+inf' : String(index),
  text,
  String(expiresS),
]

export function partsOf(reply: unknown): Parts | undefined {
  if (!Array.isArray(reply)) return undefined
  const [structured, texts] = reply as [number, readonly unknown[]]
  return { texts: texts.map(String), structured: structured === 1 }
}
