import { Command } from 'commander'
import type { ConfigOverrides } from '../config/flags.ts'
import { checkConfig, type CheckFlags, withCheckFlags } from './check.ts'
import { findTarget } from './find-config.ts'
import { wholeNumber } from './options.ts'

export interface ServeOptions {
  readonly workers?: number
  readonly bind?: readonly string[]
  readonly pid?: string
  readonly envFile?: string
  readonly busUrl?: string
  readonly data?: string
}

export function serve(finish: (code: number) => void): Command {
  const command = new Command('serve')
    .description('run the web app, its consumers and hooks and, where no bus URL is set, the built-in broker')
    .argument('[CONFIG | ENTRY]', 'config file, or the module of a web app (default: ./omnibus.config.ts, .mts, .js or .mjs)')
    .option('-w, --workers <number>', 'web workers (default: the config, $WEB_CONCURRENCY or 1)', wholeNumber)
    .option(
      '-b, --bind <address>',
      'host:port, :port, unix:/path or fd://N; may be given more than once (default: the config, 0.0.0.0:$PORT or 127.0.0.1:8000)',
      (address: string, all: readonly string[] | undefined) => [...(all ?? []), address],
    )
    .option('--pid <file>', 'write the pid of the master there')
    .option('--env-file <file>', 'NAME=value lines for the config file and all processes; what is set already stays')
    .option('--bus-url <url>', 'broker to use; several with commas (default: the config, else the built-in broker)')
    .option('--data <folder>', "the built-in broker's folder (default: the config, else .omnibus beside it)")
  return withCheckFlags(command).action(async (argument: string | undefined, options: ServeOptions & CheckFlags) => {
    const { checkConfig: dry = false, printConfig: print = false } = options
    const target = findTarget(argument, process.cwd())
    const found = { ...('file' in target && target), overrides: { ...('entry' in target && target), ...overridesOf(options) } }
    if (dry || print) return checkConfig(finish, print, found)
    const { runMaster } = await import('../supervisor/index.ts')
    finish(await runMaster(found))
  })
}

export function overridesOf({ workers, bind, pid, envFile, busUrl, data }: ServeOptions): ConfigOverrides {
  return {
    ...(workers !== undefined && { workers }),
    ...(bind !== undefined && { bind }),
    ...(pid !== undefined && { pidFile: pid }),
    ...(envFile !== undefined && { envFile }),
    ...(busUrl !== undefined && { busUrl }),
    ...(data !== undefined && { data }),
  }
}
