import { Command } from 'commander'
import { checkConfig, type CheckFlags, withCheckFlags } from './check.ts'
import { findTarget } from './find-config.ts'
import { overridesOf } from './serve.ts'

interface WorkOptions {
  readonly pid?: string
  readonly envFile?: string
  readonly busUrl?: string
  readonly data?: string
}

export function work(finish: (code: number) => void): Command {
  const command = new Command('work')
    .description('run consumers and hooks without the web app, and the built-in broker where no bus URL is set')
    .argument('[CONFIG]', 'config file (default: ./omnibus.config.ts, .mts, .js or .mjs)')
    .option('--pid <file>', 'write the pid of the master there')
    .option('--env-file <file>', 'NAME=value lines for the config file and all processes; what is set already stays')
    .option('--bus-url <url>', 'broker to use; several with commas (default: the config, else the built-in broker)')
    .option('--data <folder>', "the built-in broker's folder (default: the config, else .omnibus beside it)")
  return withCheckFlags(command).action(async (argument: string | undefined, options: WorkOptions & CheckFlags) => {
    const { checkConfig: dry = false, printConfig: print = false } = options
    const target = findTarget(argument, process.cwd())
    // There is no web app to run here, so whatever file is named is the config.
    const found = { file: 'file' in target ? target.file : target.entry, overrides: overridesOf(options) }
    if (dry || print) return checkConfig(finish, print, found)
    const { runMaster } = await import('../supervisor/index.ts')
    finish(await runMaster({ ...found, withoutWeb: true }))
  })
}
