/** How modules of the user's run, those of `web` and of `consumers`: in a process each, or in threads of one. */
import { type Fields, oneOf, whole } from '../core/options.ts'
import { moduleFile, path } from './paths.ts'
import type { Context } from './unit.ts'

export interface ModuleConfig {
  /** 'thread' puts the workers, or instances, as threads in one host process; in `web` TCP only, Node 24.20 or 26.6. @default 'process' */
  kind?: 'process' | 'thread'
  /** V8's heap of each thread; one that needs more ends and is replaced. MiB; 0: three quarters of the memory, shared. @default 0 */
  threadHeapMb?: number
  /** Module that runs once in each process before its workers, which get what it makes by `preloaded()`. @default none */
  preload?: string
}

export const moduleFields: Fields<ModuleConfig> = { kind: oneOf(['process', 'thread']), threadHeapMb: whole(), preload: path }

export function resolveModule(
  { kind = 'process', threadHeapMb = 0, preload }: ModuleConfig,
  at: string,
  { base, problems }: Context,
): Required<Omit<ModuleConfig, 'preload'>> & Pick<ModuleConfig, 'preload'> {
  return { kind, threadHeapMb, ...(preload !== undefined && { preload: moduleFile(preload, base, `${at}.preload`, problems) }) }
}
