/** Whether Redis keeps what it has confirmed: it is set up as a cache unless somebody has seen to it. */
import type { Link } from './link.ts'

/**
 * What this Redis would lose, as lines for people; none where it keeps everything. What it does not let us look at is passed over: the
 * rights to look are no part of those that are needed.
 */
export async function losses(link: Link): Promise<readonly string[]> {
  const [memory, persistence, config] = await Promise.all([
    answer(link, 'INFO', 'memory'),
    answer(link, 'INFO', 'persistence'),
    answer(link, 'CONFIG', 'GET', 'appendfsync'),
  ])
  const found: string[] = []
  const policy = fieldOf(memory, 'maxmemory_policy')
  if (policy?.startsWith('allkeys') && fieldOf(memory, 'maxmemory') !== '0') {
    found.push(`with maxmemory-policy ${policy} it drops queues when memory is short; set noeviction`)
  }
  if (fieldOf(persistence, 'aof_enabled') === '0') {
    found.push('without appendonly a restart loses what came since its last snapshot; set appendonly yes and appendfsync always')
  } else {
    const fsync = fsyncOf(config)
    if (fsync !== undefined && fsync !== 'always') {
      found.push(`with appendfsync ${fsync} a crash of its machine loses what it confirmed in the last seconds; set always`)
    }
  }
  return found
}

const answer = (link: Link, ...command: string[]): Promise<unknown> => link.command(...command).catch(() => undefined)

const fieldOf = (info: unknown, name: string): string | undefined =>
  typeof info === 'string' ? new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] : undefined

/** RESP3 answers with a map. */
function fsyncOf(config: unknown): string | undefined {
  const value = (config as { appendfsync?: unknown } | undefined)?.appendfsync
  return typeof value === 'string' ? value : undefined
}
