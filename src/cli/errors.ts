import { ConfigError, messageOf, OmnibusError } from '../core/errors.ts'
import { redactText } from '../core/redact.ts'
import { EXIT } from '../supervisor/exit-codes.ts'

/** One paragraph on stderr, with the stack only where OMNIBUS_DEBUG is set. Returns the exit code. */
export function printError(error: unknown): number {
  const stack = process.env['OMNIBUS_DEBUG'] && error instanceof Error ? error.stack : undefined
  process.stderr.write(`${redactText(stack ?? messageOf(error))}\n`)
  // A store that is refused is told by its code, so that no command loads the broker for its error class.
  const refused = error instanceof ConfigError || (error instanceof OmnibusError && error.code === 'ERR_OMNIBUS_STORE')
  return refused ? EXIT.config : EXIT.internal
}
