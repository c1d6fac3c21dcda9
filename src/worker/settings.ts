/** What of the config concerns a unit, without the code of its role: a process that only hosts its threads needs no more. */
import type { ResolvedConfig } from '../config/types.ts'
import type { StartMessage } from './unit.ts'

export function webSettings({ config: { web } }: StartMessage): NonNullable<ResolvedConfig['web']> {
  if (web === undefined) throw new TypeError('a web unit needs config.web')
  return web
}

/** Of the consumer that a process or thread is told to run. */
export function consumerSettings({ config, consumer: name }: StartMessage): {
  name: string
  settings: ResolvedConfig['consumers'][string]
} {
  const settings = name === undefined ? undefined : config.consumers[name]
  if (name === undefined || settings === undefined) throw new TypeError(`a consumers unit needs the name of one, got ${String(name)}`)
  return { name, settings }
}
