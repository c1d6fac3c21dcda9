/** Who comes in, and where to: users, virtual hosts, TLS. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import amqp from 'amqplib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type BrokerHandle, type BrokerOptions, removeUser, setUser, startBroker, userNames } from '../../src/broker/index.ts'
import { isWelcome } from '../../src/broker/listener/handshake.ts'
import { isUser } from '../../src/broker/users.ts'
import { runProgram } from '../../src/cli/program.ts'
import { answersAmqp } from '../support/amqp-probe.ts'
import { root } from '../support/omnibus.ts'
import { runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'

async function started(options: Partial<BrokerOptions> = {}): Promise<{ broker: BrokerHandle; data: string; address: string }> {
  const data = options.data ?? tempDir('access')
  const broker = await startBroker({ data, listen: '127.0.0.1:0', ...options })
  onTestFinished(() => broker.stop())
  return { broker, data, address: broker.address!.listen! }
}

const open = async (url: string, options = {}): Promise<amqp.ChannelModel> => {
  const connection = await amqp.connect(url, options)
  connection.on('error', () => {})
  onTestFinished(() => connection.close().catch(() => {}))
  return connection
}

describe('users', () => {
  test('come in with their password, as long as they are in the file', async () => {
    const { data, address } = await started()
    await setUser(data, 'app', 'se cret')
    await open(`amqp://app:se%20cret@${address}`)
    for (const login of ['app:wrong', 'nobody:se%20cret', 'app:', '__proto__:x']) {
      await expect(amqp.connect(`amqp://${login}@${address}`), login).rejects.toThrow('ACCESS_REFUSED - Login was refused')
    }
    await setUser(data, 'app', 'another')
    await expect(amqp.connect(`amqp://app:se%20cret@${address}`)).rejects.toThrow('ACCESS_REFUSED')
    await open(`amqp://app:another@${address}`)
    expect([removeUser(data, 'app'), removeUser(data, 'app'), userNames(data)]).toEqual([true, false, []])
    await expect(amqp.connect(`amqp://app:another@${address}`)).rejects.toThrow('ACCESS_REFUSED')
  })

  test('have no password in clear, in a file that is theirs alone', async () => {
    const data = tempDir('users')
    await setUser(data, 'app', 'secret')
    await setUser(data, 'twin', 'secret')
    const path = join(data, 'users.json')
    const users = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>
    expect(users['app']).toMatch(/^scrypt\$16384\$8\$1\$[\w+/=]{24}\$[\w+/=]{44}$/)
    expect(users['twin']).not.toBe(users['app'])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect([await isUser(data, 'app', 'secret'), await isUser(data, 'app', 'secret ')]).toEqual([true, false])
  })

  test('are added and removed by a command', async () => {
    const data = tempDir('users')
    const script = 'echo hello | "$0" dist/cli/main.js broker user add app --data "$1"'
    expect(await runToEnd('/bin/sh', ['-c', script, process.execPath, data], { cwd: root })).toMatchObject({ code: 0, output: '' })
    expect(await isUser(data, 'app', 'hello')).toBe(true)
    expect(await runProgram(['broker', 'user', 'remove', 'app', '--data', data])).toBe(0)
    expect(userNames(data)).toEqual([])
    expect(await runProgram(['broker', 'user', 'remove', 'app', '--data', data])).toBe(78)
  })

  test('named guest come in from this machine alone', () => {
    const guest = { user: 'guest', password: 'guest' }
    expect([isWelcome(guest, true, undefined), isWelcome(guest, false, 'made')]).toEqual([true, false])
    expect([isWelcome({ user: 'omnibus', password: 'made' }, false, 'made'), isWelcome(guest, false, undefined)]).toEqual([true, false])
  })
})

describe('virtual hosts', () => {
  test('see nothing of one another, name themselves in refusals, and are there after a restart', async () => {
    const data = tempDir('vhosts')
    const first = await started({ data, vhosts: ['shop', 'a/b..'] })
    const channels = []
    for (const vhost of ['', '/shop', '/a%2Fb..']) {
      const channel = await (await open(`amqp://guest:guest@${first.address}${vhost}`)).createConfirmChannel()
      await channel.assertQueue('same', { durable: true, arguments: { 'x-max-length': channels.length + 1 } })
      for (const body of ['1', '2', '3']) channel.sendToQueue('same', Buffer.from(body), { persistent: true })
      await channel.waitForConfirms()
      channels.push(channel)
    }
    expect(first.broker.stats()!.queues.map(({ name, ready }) => [name, ready])).toEqual([
      ['same', 1],
      ['a/b../same', 3],
      ['shop/same', 2],
    ])
    const shop = channels[1]!
    shop.on('error', () => {})
    await expect(shop.checkQueue('nope')).rejects.toThrow("NOT_FOUND - no queue 'nope' in vhost 'shop'")
    await expect(amqp.connect(`amqp://guest:guest@${first.address}/none`)).rejects.toThrow('ConnectionClose')
    await first.broker.stop()

    const again = await started({ data })
    const channel = await (await open(`amqp://guest:guest@${again.address}/shop`)).createChannel()
    expect((await channel.checkQueue('same')).messageCount).toBe(2)
  })
})

describe('TLS', () => {
  const certificate = (name: string): string => join(root, 'test', 'amqp', 'certificates', name)
  const cert = certificate('localhost.cert.pem')

  test('is what the address speaks, and nothing else', async () => {
    const { address } = await started({ tls: { cert, key: certificate('localhost.key.pem') } })
    const connection = await open(`amqps://guest:guest@${address}`, { ca: [readFileSync(cert)], servername: 'localhost' })
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    channel.sendToQueue(queue, Buffer.alloc(300_000, 7))
    await channel.waitForConfirms()
    const message = await channel.get(queue)
    expect(message && message.content.equals(Buffer.alloc(300_000, 7))).toBe(true)
    const port = Number(address.split(':')[1])
    expect(await answersAmqp(port)).toBe(false)
    const stranger = connectTls({ port, host: '127.0.0.1', servername: 'localhost' })
    await expect(new Promise((resolve, reject) => stranger.once('secureConnect', resolve).once('error', reject))).rejects.toThrow(
      'self-signed',
    )
  })

  test('needs files that can be used', async () => {
    await expect(startBroker({ data: tempDir('tls'), listen: '127.0.0.1:0', tls: { cert, key: cert } })).rejects.toThrow(/tls/)
    expect(await runProgram(['broker', '--data', tempDir('tls'), '--tls-cert', cert])).toBe(78)
  })
})
