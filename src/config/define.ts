import type { OmnibusConfig } from './types.ts'

export type ConfigSource = OmnibusConfig | Promise<OmnibusConfig> | (() => OmnibusConfig | Promise<OmnibusConfig>)

/** What a config file exports by default. Returns its argument; it is there for the types. */
export function defineConfig<T extends ConfigSource>(config: T): T {
  return config
}
