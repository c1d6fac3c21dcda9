import { Command } from 'commander'
import type { ConfigOverrides } from '../config/flags.ts'
import { redactDeep } from '../core/redact.ts'
import { EXIT } from '../supervisor/exit-codes.ts'
import { printError } from './errors.ts'
import { findTarget } from './find-config.ts'

/** Gunicorn's spellings, for the commands that would run the config. */
export interface CheckFlags {
  readonly checkConfig?: boolean
  readonly printConfig?: boolean
}

export function check(finish: (code: number) => void): Command {
  return new Command('check')
    .description('print the configuration as it comes out, with every default and without secrets; exit 78 where it cannot be used')
    .argument('[CONFIG | ENTRY]', 'config file, or the module of a web app (default: ./omnibus.config.ts, .mts, .js or .mjs)')
    .action(async (argument: string | undefined) => {
      const target = findTarget(argument, process.cwd())
      await checkConfig(finish, true, 'file' in target ? target : { overrides: target })
    })
}

export function withCheckFlags(command: Command): Command {
  return command
    .option('--check-config', 'run nothing: exit 0 where the configuration can be used, else 78 with all that is wrong with it')
    .option('--print-config', 'run nothing: print the configuration as it comes out with these flags, as omnibus check does')
}

/** Ends the process, since the config file is user code and may have left a timer or a connection that would keep the command alive. */
export async function checkConfig(
  finish: (code: number) => void,
  print: boolean,
  found: { readonly file?: string; readonly overrides?: ConfigOverrides },
): Promise<void> {
  let code: number = EXIT.stopped
  try {
    const { loadConfig } = await import('../config/load.ts')
    const { checkUrls } = await import('../transports/table.ts')
    const { config } = await loadConfig({ root: process.cwd(), checkUrls, ...found })
    if (print) process.stdout.write(`${JSON.stringify(redactDeep(config), withoutValues, 2)}\n`)
  } catch (error) {
    code = printError(error)
  }
  finish(code)
  process.stdout.write('', () => process.exit(code))
}

/** What is in an environment may be anybody's secret. */
function withoutValues(key: string, value: unknown): unknown {
  if ((key === 'token' || key === 'secret') && typeof value === 'string') return '***'
  if (key !== 'env' || typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.keys(value).map((name) => [name, '***']))
}
