import { describe, expect, test } from 'vitest'
import { hasOwnRabbit, startRabbit } from './rabbitmq.ts'
import { hasRabbit, sharedRabbit } from './shared-rabbit.ts'

describe.runIf(hasOwnRabbit())('a private RabbitMQ', () => {
  test('keeps its durable data through SIGKILL and an orderly stop', { timeout: 240_000 }, async () => {
    await using rabbit = await startRabbit()
    await rabbit.ctl('add_vhost', 'kept')
    await rabbit.kill()
    await expect(rabbit.ctl('list_vhosts')).rejects.toThrow()
    await rabbit.start()
    expect(await rabbit.ctl('list_vhosts')).toContain('kept')
    await rabbit.stop()
    await rabbit.start()
    expect(await rabbit.ctl('list_vhosts')).toContain('kept')
  })
})

describe.runIf(hasRabbit())('the shared RabbitMQ', () => {
  test('is one for all', async () => {
    const [one, other] = await Promise.all([sharedRabbit(), sharedRabbit()])
    expect(one).toMatch(/^amqps?:/)
    expect(other).toBe(one)
  })
})
