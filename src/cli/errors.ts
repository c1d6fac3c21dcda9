import { ConfigError, messageOf } from '../core/errors.ts'
import { redactText } from '../core/redact.ts'
import { EXIT } from '../supervisor/exit-codes.ts'

/** One paragraph on stderr, with the stack only where OMNIBUS_DEBUG is set. Returns the exit code. */
export function printError(error: unknown): number {
  const stack = process.env['OMNIBUS_DEBUG'] && error instanceof Error ? error.stack : undefined
  process.stderr.write(`${redactText(stack ?? messageOf(error))}\n`)
  return error instanceof ConfigError ? EXIT.config : EXIT.internal
}
