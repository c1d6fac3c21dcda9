import { Command } from 'commander'
import { redactDeep } from '../core/redact.ts'
import { EXIT } from '../supervisor/exit-codes.ts'
import { printError } from './errors.ts'
import { findTarget } from './find-config.ts'

export function check(finish: (code: number) => void): Command {
  return new Command('check')
    .description('print the configuration as it comes out, with every default and without secrets; exit 78 where it cannot be used')
    .argument('[CONFIG | ENTRY]', 'config file, or the module of a web app (default: ./omnibus.config.ts, .mts, .js or .mjs)')
    .action(async (argument: string | undefined) => {
      let code: number = EXIT.stopped
      try {
        const target = findTarget(argument, process.cwd())
        const { loadConfig } = await import('../config/load.ts')
        const { config } = await loadConfig({ root: process.cwd(), ...('file' in target ? target : { overrides: target }) })
        process.stdout.write(`${JSON.stringify(redactDeep(config), null, 2)}\n`)
      } catch (error) {
        code = printError(error)
      }
      finish(code)
      // The config file is user code, and may have left a timer or a connection that would keep the command alive.
      process.stdout.write('', () => process.exit(code))
    })
}
