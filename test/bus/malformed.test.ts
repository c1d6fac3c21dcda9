/** Messages whose very properties cannot be read, as only a broken or hostile publisher sends them. */
import { describe, expect, it } from 'vitest'
import { Codecs } from '../../src/core/codecs.ts'
import { Delivery } from '../../src/core/delivery.ts'
import { CodecError } from '../../src/core/errors.ts'

describe('a delivery with unreadable properties', () => {
  it('can be looked at and settled, and says what is wrong when its payload is asked for', async () => {
    const settled: string[] = []
    const incoming = {
      body: Buffer.from('{}'),
      get properties(): never {
        throw new CodecError('header table cut short')
      },
      exchange: '',
      routingKey: 'q',
      queue: 'q',
      redelivered: false,
      deliveryCount: undefined,
      settle: (settlement: string) => (settled.push(settlement), true),
    }
    const delivery = new Delivery(incoming, new Codecs(), () => true)
    expect(delivery.properties).toEqual({})
    expect(delivery.unreadable).toMatchObject({ message: 'header table cut short' })
    expect(() => delivery.payload).toThrow('header table cut short')
    expect(await delivery.reject()).toBe(true)
    expect(settled).toEqual(['reject'])
  })
})
