/** What the tests of the Redis transport share. */
import { randomUUID } from 'node:crypto'
import { createClient } from 'redis'
import { onTestFinished } from 'vitest'
import { Subject } from '../../src/testing/conformance/subject.ts'
import { createRedisTransport } from '../../src/transports/redis/index.ts'

/** One command on the side, as another client of the same Redis would send it. */
export type Command = (...args: (string | Buffer)[]) => Promise<unknown>

export interface Ground {
  /** With a prefix of its own. */
  readonly url: URL
  readonly prefix: string
  readonly command: Command
  /** Another process, as far as Redis can tell: its transport knows of no other. */
  readonly process: (parameters?: Readonly<Record<string, string>>) => Subject
}

/** A part of a Redis that no other test uses, left clean. */
export async function ground(server: string): Promise<Ground> {
  const prefix = `test-${randomUUID().slice(0, 8)}:`
  const url = new URL(server)
  url.searchParams.set('global_keyprefix', prefix)
  const client = createClient({ url: server })
  client.on('error', () => undefined)
  await client.connect()
  const command: Command = (...args) => client.sendCommand(args)
  const subjects: Subject[] = []
  onTestFinished(async () => {
    await Promise.all(subjects.map((subject) => subject.cleanUp()))
    for (const key of (await command('KEYS', `${prefix}*`)) as string[]) await command('DEL', key)
    client.destroy()
  })
  return {
    url,
    prefix,
    command,
    process(parameters = {}) {
      const own = new URL(url)
      for (const [name, value] of Object.entries(parameters)) own.searchParams.set(name, value)
      const subject = new Subject({ transport: createRedisTransport(), url: own, queueType: 'classic' })
      subjects.push(subject)
      return subject
    },
  }
}
