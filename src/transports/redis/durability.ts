/** Whether Redis keeps what it has confirmed, and says what it shall say: it is set up as a cache unless somebody has seen to it. */
import { fieldsOf, type Reply } from './client.ts'
import type { Link } from './link.ts'

/** What Redis has where nobody sets it. Bytes. */
export const PUBSUB_DEFAULT = 32 << 20

export interface Examined {
  /** What this Redis would lose, as lines for people; none where it keeps everything. */
  readonly losses: readonly string[]
  /** Redis cuts off a client with a subscription that has more than this to read: `client-output-buffer-limit pubsub`. Bytes. */
  readonly pubsubLimit: number
}

/** What Redis does not let us look at is passed over: the rights to look are no part of those that are needed. */
export async function examine(link: Link): Promise<Examined> {
  const [memory, persistence, config] = await Promise.all([
    answer(link, 'INFO', 'memory'),
    answer(link, 'INFO', 'persistence'),
    answer(link, 'CONFIG', 'GET', 'appendfsync', 'client-output-buffer-limit').then(fieldsOf),
  ])
  const limit = Number(/pubsub (\d+)/.exec(textOf(config['client-output-buffer-limit']))?.[1] ?? PUBSUB_DEFAULT)
  return { losses: lossesOf(memory, persistence, textOf(config['appendfsync'])), pubsubLimit: limit === 0 ? Infinity : limit }
}

function lossesOf(memory: Reply, persistence: Reply, fsync: string): readonly string[] {
  const found: string[] = []
  const policy = fieldOf(memory, 'maxmemory_policy')
  if (policy?.startsWith('allkeys') && fieldOf(memory, 'maxmemory') !== '0') {
    found.push(`with maxmemory-policy ${policy} it drops queues when memory is short; set noeviction`)
  }
  if (fieldOf(persistence, 'aof_enabled') === '0') {
    found.push('without appendonly a restart loses what came since its last snapshot; set appendonly yes and appendfsync always')
  } else if (fsync !== '' && fsync !== 'always') {
    found.push(`with appendfsync ${fsync} a crash of its machine loses what it confirmed in the last seconds; set always`)
  }
  return found
}

const answer = (link: Link, ...command: string[]): Promise<Reply> => link.command(...command).catch(() => null)

const textOf = (reply: Reply | undefined): string => (typeof reply === 'string' ? reply : '')

const fieldOf = (info: Reply, name: string): string | undefined =>
  typeof info === 'string' ? new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] : undefined
