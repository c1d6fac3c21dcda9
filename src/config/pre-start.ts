/** Commands that run to their end before anything else starts: the steps of `preStart`. */
import { type Field, flag, object, whole } from '../core/options.ts'
import { type Command, commandFields, resolveCommand } from './command.ts'
import type { Context } from './unit.ts'

export interface PreStartConfig extends Command {
  /** Also in a reload, which is refused where it fails. @default false */
  onReload?: boolean
  /** Longest it may take. Milliseconds; 0 for ever. @default 0 */
  timeoutMs?: number
}

export type ResolvedStep = Readonly<Required<PreStartConfig>>

export const stepField: Field<PreStartConfig> = object<PreStartConfig>({ ...commandFields, onReload: flag(), timeoutMs: whole() })

export function resolveStep(given: PreStartConfig, at: string, context: Context): ResolvedStep {
  return { ...resolveCommand(given, at, context), onReload: given.onReload ?? false, timeoutMs: given.timeoutMs ?? 0 }
}
