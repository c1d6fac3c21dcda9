import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { queue } from '../../src/core/entities.ts'
import { ConnectionError } from '../../src/core/errors.ts'
import { builtinTransport } from '../../src/transports/amqp/builtin.ts'
import { isAlive, MARK } from '../support/processes.ts'
import { runName, tempDir } from '../support/run-folder.ts'
import { waitFor } from '../support/wait.ts'
import { message, openSession, publish, type Recorded, unique } from './sessions.ts'

describe("the built-in broker, reached through its folder's URL", () => {
  beforeAll(() => {
    // Inherited by the brokers that are started in the background, so that the run finds and ends them.
    process.env[MARK] = runName()
  })

  const open = (folder: string, query = ''): Promise<Recorded> =>
    openSession(`omnibus://${folder}${query}`, { transport: builtinTransport })
  const pidOf = (folder: string): number => JSON.parse(readFileSync(join(folder, 'broker.json'), 'utf8')).pid

  it('is started once for all who come, keeps what was confirmed, and goes with its last client', async () => {
    const folder = tempDir('data')
    const sessions = await Promise.all([open(folder), open(folder), open(folder)])
    const [{ session: first }, { session: second }] = sessions
    const name = (await first.declareQueue(queue(unique('q')))).name
    expect(await publish(second, [message(name, 'kept', { properties: { persistent: true } })])).toEqual([
      { status: 'confirmed', routed: true },
    ])
    expect((await first.inspect(name)).messages).toBe(1)
    const pid = pidOf(folder)
    expect(isAlive(pid)).toBe(true)
    await Promise.all(sessions.map(({ session }) => session.close()))
    await waitFor(() => !isAlive(pid), { what: 'the broker to end' })

    const again = await open(folder)
    expect(pidOf(folder)).not.toBe(pid)
    const got = await again.session.get(name)
    expect(Buffer.from(got?.body ?? []).toString()).toBe('kept')
    await again.session.close()
    expect([...sessions, again].flatMap(({ deaths }) => deaths)).toEqual([])
  })

  it('dies once for each session when it is killed, and is started anew only by those who may', async () => {
    const folder = tempDir('data')
    await expect(open(folder, '?spawn=false')).rejects.toThrow(/No built-in broker runs in/)
    const { session, deaths } = await open(folder)
    const name = (await session.declareQueue(queue(unique('q')))).name
    await publish(session, [message(name, 'kept', { properties: { persistent: true } })])
    process.kill(pidOf(folder), 'SIGKILL')
    await waitFor(() => deaths.length > 0, { what: 'the death' })
    await expect(open(folder, '?spawn=false')).rejects.toThrow(ConnectionError)
    const next = await open(folder, '?spawn=true')
    expect((await next.session.inspect(name)).messages).toBe(1)
    const beside = await open(folder, '?spawn=false')
    expect((await beside.session.inspect(name)).messages).toBe(1)
    await Promise.all([next.session.close(), beside.session.close(), session.close()])
    expect(deaths.length).toBe(1)
  })

  it('says how it ended when the folder cannot be used', async () => {
    const folder = join(tempDir('file'), 'file')
    writeFileSync(folder, '')
    await expect(open(folder)).rejects.toMatchObject({
      name: 'ConnectionError',
      message: expect.stringMatching(`The built-in broker of ${folder} ended with code \\d+ before it answered; .*omnibus broker --data`),
    })
  })
})
