import { Command } from 'commander'
import { findTarget } from './find-config.ts'
import { wholeNumber } from './options.ts'
import { overridesOf, type ServeOptions } from './serve.ts'

export function dev(finish: (code: number) => void): Command {
  return new Command('dev')
    .description('as serve, for who writes the code: what a changed file is part of is loaded anew, and errors are shown with their source')
    .argument('[CONFIG | ENTRY]', 'config file, or the module of a web app (default: ./omnibus.config.ts, .mts, .js or .mjs)')
    .option('-w, --workers <number>', 'web workers (default: the config, $WEB_CONCURRENCY or 1)', wholeNumber)
    .option('-b, --bind <address>', 'host:port, :port or unix:/path (default: the config, 0.0.0.0:$PORT or 127.0.0.1:8000)')
    .option('--env-file <file>', 'NAME=value lines for the config file and all processes; what is set already stays')
    .option('--bus-url <url>', 'broker to use; several with commas (default: the config, else the built-in broker)')
    .option('--data <folder>', "the built-in broker's folder (default: the config, else .omnibus beside it)")
    .action(async (argument: string | undefined, options: ServeOptions) => {
      const target = findTarget(argument, process.cwd())
      const { runMaster } = await import('../supervisor/index.ts')
      const overrides = { ...('entry' in target && target), ...overridesOf(options) }
      finish(await runMaster({ ...('file' in target && target), overrides, dev: true }))
    })
}
