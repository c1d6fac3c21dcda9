import { expect, test } from 'vitest'
import { problems } from './house.ts'

test('a secret that cannot be used is told of, and not shown', () => {
  const found = problems({
    forward: { orders: { queue: 'orders', to: 'http://h/', token: 'hunter 2', secret: 'whsec_hunter2' } },
    gateway: { listen: '127.0.0.1:8081', token: 'hunter 2' },
  })
  const token = 'a token of letters, digits and -._~+/=; another text'
  expect(found).toEqual([
    `forward.orders.token: ${token}`,
    'forward.orders.secret: whsec_ and 24 to 64 bytes in base64; another text',
    `gateway.token: ${token}`,
  ])
})

test('a gateway that others reach needs a token', () => {
  const expected = 'gateway.token: a token, since :8081 can be reached from other machines; nothing'
  expect(problems({ gateway: { listen: ':8081' } })).toEqual([expected])
  for (const listen of ['127.0.0.1:8081', '[::1]:8081', 'unix:g.sock']) expect(problems({ gateway: { listen } })).toEqual([])
})
