import { expect, test } from 'vitest'
import { busUrlOf, clientUrlOf } from '../../src/supervisor/protocol.ts'
import { resolve } from './house.ts'

test('a bus URL, several, or an unset variable', () => {
  expect(resolve({ bus: { url: 'amqp://a,b/v' } }).bus).toMatchObject({ urls: ['amqp://a,b/v'], builtin: false })
  expect(resolve({ bus: { url: ['amqp://a', 'amqp://b'] } }).bus.urls).toEqual(['amqp://a', 'amqp://b'])
  for (const url of ['', undefined, []]) expect(resolve({ bus: { url } }).bus.builtin).toBe(true)
  expect(resolve({ bus: { url: 'amqp://a' } }, { overrides: { busUrl: 'amqp://c' } }).bus.urls).toEqual(['amqp://c'])
})

test('the bus URL of the children', () => {
  expect(busUrlOf(resolve({ bus: { url: ['amqp://a', 'amqp://b'] } }))).toBe('amqp://a,amqp://b')
  expect(busUrlOf(resolve({ bus: { data: '/data/my app?#%' } }))).toBe('omnibus:///data/my%20app%3F%23%25?spawn=false')
})

test('the bus URL of commands in other languages', () => {
  const url = (bus: object): string | undefined => clientUrlOf(resolve({ bus }))
  expect(url({ url: ['amqp://a', 'amqp://b'] })).toBe('amqp://a;amqp://b')
  expect(url({ listen: '127.0.0.1:5673' })).toBe('amqp://guest:guest@127.0.0.1:5673/')
  expect(url({ listen: ':5673' })).toBe('amqp://guest:guest@127.0.0.1:5673/')
  expect(url({ listen: '[::1]:5673' })).toBe('amqp://guest:guest@[::1]:5673/')
  for (const bus of [{}, { listen: '127.0.0.1:0' }]) expect(url(bus)).toBeUndefined()
})
