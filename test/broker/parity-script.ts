/** Runs a script of methods on a broker and tells what came back until it was told to go, so that two brokers can be compared. */
import type { NetConnectOpts } from 'node:net'
import type { MethodInput, MethodName } from '../../src/amqp/index.ts'
import type { MessageProperties } from '../../src/core/message.ts'
import { waitFor } from '../support/wait.ts'
import { logIn, type LoginOptions, opened, rawClient, type RawClient } from './raw-client.ts'

export interface Script {
  /** Sends a method and waits for its answer, or for the close that it brings; goes on with a new channel after one. */
  readonly ask: <N extends MethodName>(name: N, args: MethodInput<N>) => Promise<void>
  /** Sends a method that has no answer. */
  readonly say: <N extends MethodName>(name: N, args: MethodInput<N>) => void
  readonly publish: (
    exchange: string,
    routingKey: string,
    body: string,
    more?: { mandatory?: boolean; immediate?: boolean; properties?: MessageProperties },
  ) => void
  /** Waits until so many deliveries have come in all. */
  readonly delivered: (count: number) => Promise<void>
  /** The reply-to address of the last request, or its name. */
  readonly replyTo: () => string
}

/** What came, without what a broker makes up. */
export interface Outcome {
  readonly answers: readonly string[]
  readonly deliveries: readonly string[]
}

const DELIVERIES: readonly string[] = ['basic.deliver', 'basic.ack', 'basic.nack', 'basic.return', 'basic.cancel']

export async function play(to: NetConnectOpts, script: (script: Script) => Promise<void>, login: LoginOptions = {}): Promise<Outcome> {
  using client = await opened(to, login)
  const answers: string[] = []
  const deliveries: string[] = []
  let seen = 0
  const collect = (): void => {
    for (const { name, args } of client.got.splice(0)) {
      const line = `${name} ${neutral(args)}`
      if (DELIVERIES.includes(name)) deliveries.push(line)
      else answers.push(line)
    }
    for (const { properties, body } of client.contents.slice(seen)) deliveries.push(`content ${body} ${neutral(properties)}`)
    seen = client.contents.length
  }
  const answered = (): boolean => client.ended || client.got.some(({ name }) => !DELIVERIES.includes(name))
  const closed = (): boolean => answers.some((answer) => answer.startsWith('connection.close'))
  await script({
    async ask(name, args) {
      if (closed()) return
      client.send(1, name, args)
      await waitFor(answered, { what: `an answer to ${name}`, everyMs: 2 })
      if (client.got.some((method) => method.name === 'channel.close')) {
        client.send(1, 'channel.close-ok', {})
        collect()
        client.send(1, 'channel.open', {})
        await client.next('channel.open-ok')
      } else collect()
    },
    say: (name, args) => client.send(1, name, args),
    publish(exchange, routingKey, body, { mandatory = false, immediate = false, properties = {} } = {}) {
      client.writer.content(1, 'basic.publish', { exchange, routingKey, mandatory, immediate }, properties, Buffer.from(body))
    },
    async delivered(count) {
      await waitFor(() => client.contents.length >= count, {
        what: `${count} deliveries, beside ${answers.slice(-3).join()} ${deliveries.join(', ')} ${client.got.map((m) => m.name).join()}`,
        everyMs: 2,
      })
      collect()
    },
    replyTo: () => client.contents.at(-1)?.properties.replyTo ?? '',
  })
  collect()
  await closeDown(client)
  return { answers, deliveries: deliveries.toSorted() }
}

/** How a broker refuses a connection: with the close it sends, if any, else by hanging up. */
export async function refusal(to: NetConnectOpts, login: LoginOptions): Promise<string> {
  using client = rawClient(to)
  void logIn(client, login).catch(() => {})
  let close = ''
  await waitFor(
    () => {
      const found = client.got.find(({ name }) => name === 'connection.close')
      if (found) close = neutral(found.args)
      return close !== '' || client.ended
    },
    { what: 'a refusal', everyMs: 2 },
  )
  return close
}

async function closeDown(client: RawClient): Promise<void> {
  client.send(0, 'connection.close', { replyCode: 200, replyText: '', classId: 0, methodId: 0 })
  client.socket.end()
  await waitFor(() => client.ended, { what: 'the end' })
}

const neutral = (value: unknown): string =>
  JSON.stringify(value, (key, inner: unknown) => {
    if (key === 'time') return 'some time'
    if (key === 'headers') return withoutCount(inner)
    if (inner instanceof Uint8Array) return Buffer.from(inner).toString('base64')
    return typeof inner === 'bigint' ? Number(inner) : inner
  })
    .replaceAll(/amq\.gen-[\w-]+/g, 'amq.gen-NAME')
    .replaceAll(/amq\.ctag-[\w-]+/g, 'amq.ctag-TAG')
    .replaceAll(/amq\.rabbitmq\.reply-to\.[\w.+/=-]+/g, 'amq.rabbitmq.reply-to.ADDRESS')

/** Our classic queues count deliveries too, as in RabbitMQ only quorum queues do. */
function withoutCount(headers: unknown): unknown {
  const { 'x-delivery-count': _, ...others } = headers as Record<string, unknown>
  return Object.keys(others).length === 0 ? undefined : others
}
