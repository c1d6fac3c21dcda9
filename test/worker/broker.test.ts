import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { connect, queue } from '../../src/index.ts'
import { tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { configWith, startChild, type Child } from './child.ts'

const jobs = queue('jobs')

function startBroker(data: string): Child {
  const child = startChild('broker')
  child.send({ type: 'start', unit: 'broker', config: configWith({ bus: { urls: [], builtin: true, data } }) })
  return child
}

/** Runs `work` on a connection to the folder's broker. */
async function on<T>(data: string, work: (connection: ReturnType<typeof connect>) => Promise<T>): Promise<T> {
  const connection = connect(`${pathToFileURL(data).href.replace(/^file:/, 'omnibus:')}?spawn=false`)
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}

test('ready is accepting; what it has confirmed survives a stop and a kill', async () => {
  const data = join(tempDir('data'), 'new', 'folder')
  for (const end of ['stop', 'kill'] as const) {
    await using child = startBroker(data)
    await child.message('ready')
    await on(data, (connection) => connection.publish(jobs, { end }))
    if (end === 'stop') expect(await child.stop()).toEqual({ code: 0, signal: null })
    else process.kill(child.pid, 'SIGKILL')
    await child.exit()
  }
  await using child = startBroker(data)
  await child.message('ready')
  expect((await on(data, (connection) => connection.inspect('jobs'))).messages).toBe(2)
})

test('a second one stands by as ready, and takes over when the first is killed', async () => {
  const data = tempDir('data')
  await using first = startBroker(data)
  await first.message('ready')
  await using second = startBroker(data)
  await second.message('ready')
  expect(second.output()).toContain('stands by')
  process.kill(first.pid, 'SIGKILL')
  await waitFor(() => second.output().includes('broker accepts on'), { what: 'the second to own the folder' })
  await on(data, (connection) => connection.publish(jobs, 'after'))
  expect(await second.stop()).toEqual({ code: 0, signal: null })
})

test('a folder that cannot be used is an error of the configuration, and left as it is', async () => {
  const data = join(tempDir('data'), 'in-the-way')
  writeFileSync(data, 'a file')
  await using child = startBroker(data)
  expect(await child.message('failed')).toMatchObject({ config: true, message: expect.stringContaining(data) })
  expect(await child.exit()).toEqual({ code: 78, signal: null })
  expect(existsSync(data)).toBe(true)
})

test('a store that is no database is refused', async () => {
  const data = tempDir('data')
  mkdirSync(data, { recursive: true, mode: 0o700 })
  writeFileSync(join(data, 'broker.db'), 'this is no database, whatever its name says; it must not be overwritten')
  await using child = startBroker(data)
  expect((await child.message('failed')).config).toBe(true)
  expect(await child.exit()).toEqual({ code: 78, signal: null })
})
