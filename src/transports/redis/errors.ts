/** What Redis refuses, by name. Its errors begin with a word in capitals. */
import { ConnectionError, messageOf, TopologyError } from '../../core/errors.ts'

const IN_WORDS: readonly (readonly [string, string])[] = [
  ["The user executing the script can't", 'NOPERM'],
  ['Script attempted to access a non local key in a cluster node', 'TRYAGAIN'],
  ['while the cluster is down', 'CLUSTERDOWN'],
]

/** The first word of an error reply, such as `WRONGTYPE`; '' for anything else. */
export function wordOf(error: unknown): string {
  const text = messageOf(error)
  // What goes wrong inside a script is told in words.
  const [, word] = IN_WORDS.find(([words]) => text.includes(words)) ?? []
  if (word !== undefined) return word
  return /^[A-Z]{2,}\b/.exec(text)?.[0] ?? ''
}

/** Trying again with the same settings does not help. */
const FATAL = ['WRONGPASS', 'NOAUTH', 'NOPROTO']

/** It is there, and will take us in a moment. */
const SOON_OVER = ['LOADING', 'ASK', 'TRYAGAIN', 'MOVED']

const explained: Readonly<Record<string, string>> = {
  WRONGPASS: 'the user name or the password is wrong',
  NOAUTH: 'it asks for a password, and the URL has none',
  NOPERM: 'this user may not do that',
  READONLY: 'it is a replica that takes no writes, as after a failover',
  LOADING: 'it is still reading its data from disk',
  MASTERDOWN: 'it is a replica whose master is away',
  CLUSTERDOWN: 'its cluster is down',
  ASK: 'the keys are moving to another node of its cluster',
  TRYAGAIN: 'the keys are moving to another node of its cluster',
  MOVED: 'the keys lie on another node of its cluster',
  CROSSSLOT: 'the keys lie in several slots of a cluster: give all of them one by a prefix with a hash tag, global_keyprefix={name}.',
  OOM: 'it is out of memory',
  MISCONF: 'it takes no writes, since it cannot save them',
  WRONGTYPE: 'a key that should be ours holds something else',
  NOSCRIPT: 'somebody has flushed its scripts',
}

/** An error reply as one line: what it means, and what Redis said. */
export function explain(error: unknown): string {
  const meaning = explained[wordOf(error)]
  // What follows in a script's error is where in it, which helps nobody.
  const said = messageOf(error).replace(/ script: [0-9a-f]{40}.*$/s, '')
  return meaning === undefined ? said : `${meaning} (${said})`
}

/** `reached`: the host had taken the connection. */
export function connectionError(where: string, error: unknown, reached = true): ConnectionError {
  if (error instanceof ConnectionError) return error
  const { cause } = (error as { cause?: unknown }) ?? {}
  const word = wordOf(error)
  const fatal = FATAL.includes(word) || (word === 'ERR' && /AUTH|DB index|invalid DB/i.test(messageOf(error)))
  const cut = reached && (word === '' || SOON_OVER.includes(word))
  const more = cause instanceof Error ? `: ${cause.message}` : ''
  return new ConnectionError(`${where}: ${explain(error)}${more}`, { cause: error, fatal, cut })
}

/** What a script of ours refuses, or Redis for the sake of what it was asked; undefined where the session cannot go on. */
export function topologyError(error: unknown): TopologyError | undefined {
  const ours = /^OMNIBUS (\d{3}) (.*)$/s.exec(messageOf(error))
  if (ours?.[1] !== undefined && ours[1] !== LEASE_OVER)
    return new TopologyError(`${ours[2]} (${ours[1]})`, Number(ours[1]), { cause: error })
  const code = { NOPERM: 403, WRONGTYPE: 406 }[wordOf(error)]
  return code === undefined ? undefined : new TopologyError(explain(error), code, { cause: error })
}

const LEASE_OVER = '410'
