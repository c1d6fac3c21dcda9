/** The emulator, and what stands before it for Kombu, in processes of their own, whose CPU is told apart from the clients'. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

export interface Server extends Disposable {
  readonly host: string
  /** Used so far. Microseconds. */
  cpu(): Promise<number>
  /** Of the emulator: a queue that is there, and holds nothing. */
  empty(queue: string): Promise<void>
}

export async function startServer(what: 'emulator' | 'front', endpoint = ''): Promise<Server> {
  const child = fork(join(import.meta.dirname, 'run-emulator.ts'), [what, endpoint])
  const { host } = (await told(child)) as { host: string }
  const ask = (question: object): Promise<object> => {
    child.send(question)
    return told(child)
  }
  return {
    host,
    cpu: async () => ((await ask({ usage: true })) as { cpuMicroseconds: number }).cpuMicroseconds,
    empty: async (queue) => void (await ask({ empty: queue })),
    [Symbol.dispose]: () => void child.kill(),
  }
}

async function told(child: ChildProcess): Promise<object> {
  const [message] = (await once(child, 'message')) as [object]
  return message
}
