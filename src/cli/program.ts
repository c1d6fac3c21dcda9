import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { EXIT } from '../supervisor/exit-codes.ts'
import { broker } from './broker.ts'
import { check } from './check.ts'
import { reload, restart, scale, stop } from './control.ts'
import { dev } from './dev.ts'
import { printError } from './errors.ts'
import { forward } from './forward.ts'
import { inspect } from './inspect.ts'
import { logs } from './logs.ts'
import { serve } from './serve.ts'
import { status } from './status.ts'
import { work } from './work.ts'

const EXAMPLES = `
Examples:
  omnibus serve                                   runs ./omnibus.config.ts: web, consumers, hooks and, without a bus URL, the broker
  omnibus serve web.ts -w 4 -b :8080              one web app, four workers, on all interfaces
  omnibus dev                                     the same for who writes the code: a changed file is live at once
  omnibus work video/omnibus.config.ts            the consumers alone
  omnibus forward --queue mail --to http://127.0.0.1:5000/events -- gunicorn -b 127.0.0.1:5000 app:app
  omnibus broker --listen 127.0.0.1:5673 --data ./data
  omnibus inspect --data ./data                   shows its queues, connections and consumers
  omnibus status --watch                          shows what the master of ./omnibus.config.ts runs, every second anew
  omnibus logs web --follow                       shows what its web workers write
  omnibus reload && omnibus scale web=4           exits with 1 where the new code does not start, and all goes on as before
  omnibus restart video                           replaces its processes one after the other
  omnibus check                                   prints the configuration as it comes out, secrets left out

Signals to the master: TERM stops gracefully, INT and QUIT quickly, HUP reloads, TTIN and TTOU add and take away a web worker,
USR2 starts a second master that takes over, WINCH lets the first one's workers rest.
Exit codes: 0 stopped, 69 a unit is dead for good, 70 internal error, 75 the stop cut work off, 78 configuration.`

/** Resolves with the exit code; never rejects. */
export async function runProgram(args: readonly string[]): Promise<number> {
  let code: number = EXIT.stopped
  const program = new Command('omnibus')
    .description('Messaging over any broker and a supervisor for any web app, as one thing.')
    .version(ownVersion(), '-V, --version')
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError('(omnibus --help shows what there is)')
    .configureHelp({ showGlobalOptions: true })
    // Options of a command behind the name of one of its own belong to that.
    .enablePositionalOptions()
    .exitOverride()
  const finish = (result: number): void => void (code = result)
  for (const define of [serve, dev, work, forward, status, logs, reload, restart, scale, stop, broker, inspect, check])
    program.addCommand(define(finish).copyInheritedSettings(program))
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    // Commander has already said what is wrong, and with what word it could be mended; help and version come this way too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.stopped : EXIT.config
    return printError(error)
  }
}

function ownVersion(): string {
  // The same distance from the sources as from the build.
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}
