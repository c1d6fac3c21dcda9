/** Consumers of the bus: the units under `consumers`. */
import { type Field, object, whole } from '../core/options.ts'
import { type ModuleConfig, moduleFields, resolveModule } from './module.ts'
import { moduleFile, path } from './paths.ts'
import { type Context, type CountedConfig, countedFields, type Resolved, resolveCounted } from './unit.ts'

export interface ConsumerConfig extends CountedConfig, ModuleConfig {
  /** Module that exports what `consume()` or `broadcast()` returned; relative to the config file. */
  entry: string
  /** One whose event loop is silent this long is killed. Milliseconds; 0 never. @default 30_000 */
  heartbeatTimeoutMs?: number
}

export type ResolvedConsumer = Resolved<ConsumerConfig, 'preload'>

export const consumerField: Field<ConsumerConfig> = object<ConsumerConfig>({
  entry: path,
  ...moduleFields,
  heartbeatTimeoutMs: whole(),
  ...countedFields,
})

export function resolveConsumer(given: ConsumerConfig, at: string, context: Context): ResolvedConsumer {
  return {
    entry: moduleFile(given.entry, context.base, `${at}.entry`, context.problems),
    ...resolveModule(given, at, context),
    heartbeatTimeoutMs: given.heartbeatTimeoutMs ?? 30_000,
    ...resolveCounted(given, context),
  }
}
