/** What of the config concerns a unit, without the code of its role: a process that only hosts its threads needs no more. */
import type { ResolvedConsumer } from '../config/consumers.ts'
import type { ResolvedWeb } from '../config/web.ts'
import type { StartMessage } from './unit.ts'

export function webSettings({ config: { web } }: StartMessage): ResolvedWeb {
  if (web === undefined) throw new TypeError('a web unit needs config.web')
  return web
}

/** Of the consumer that a process or thread is told to run. */
export function consumerSettings({ config, consumer: name }: StartMessage): { name: string; settings: ResolvedConsumer } {
  const settings = name === undefined ? undefined : config.consumers[name]
  if (name === undefined || settings === undefined) throw new TypeError(`a consumers unit needs the name of one, got ${String(name)}`)
  return { name, settings }
}
