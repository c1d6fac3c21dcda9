/** Commands in any language as units: those under `exec`. */
import { type Field, object, oneOf, show, text, whole } from '../core/options.ts'
import { normalAddress } from './address.ts'
import { type Command, commandFields, filled, resolveCommand } from './command.ts'
import { type Context, type CountedConfig, countedFields, type Resolved, resolveCounted } from './unit.ts'

/**
 * When a command counts as ready: it runs still half a second after its start; it accepts connections at `host:port` or
 * at a port of this machine; it answers a GET with 200 to 399; it has written a line that contains this text.
 */
export type ReadyWhen = 'started' | { readonly port: number | string } | { readonly url: string } | { readonly line: string }

const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const

export interface ExecConfig extends Command, CountedConfig {
  /** @default 'started' */
  ready?: ReadyWhen
  /** Sent to the process itself; what is left of its group afterwards is killed. @default 'SIGTERM' */
  stopSignal?: (typeof STOP_SIGNALS)[number]
  /** Longest a stop may take within the budget of the whole. Milliseconds. @default what the budget leaves it */
  gracefulTimeoutMs?: number
  /**
   * Whether the successor is ready before the old one stops, in a reload and elsewhere, or starts when it is gone.
   * @default 'old-first' where `ready` is a port or a URL, else 'new-first'
   */
  replace?: 'new-first' | 'old-first'
}

export type ResolvedExec = Resolved<ExecConfig, 'gracefulTimeoutMs'>

const address = text({
  expected: 'host:port',
  test: (value) => normalAddress(value, '/')?.includes(':') === true && !value.startsWith('unix:'),
})

const ready: Field<ReadyWhen> = {
  read(value, at, problems) {
    if (value === 'started') return value
    const given = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : []
    const expected = "'started', or one of { port }, { url } and { line }"
    if (given.length !== 1) return void problems.push({ path: at, expected, got: show(value) })
    const url = text({ expected: 'an http:// URL', test: (one) => URL.canParse(one) && new URL(one).protocol === 'http:' })
    const forms = object<{ port?: string | number; url?: string; line?: string }>({
      port: { read: (one, path, found) => (Number.isSafeInteger(one) ? whole({ min: 1, max: 65_535 }) : address).read(one, path, found) },
      url,
      line: filled,
    })
    return forms.read(value, at, problems) as ReadyWhen | undefined
  },
}

export const execField: Field<ExecConfig> = object<ExecConfig>({
  ...commandFields,
  ready,
  stopSignal: oneOf(STOP_SIGNALS),
  gracefulTimeoutMs: whole({ min: 1 }),
  replace: oneOf(['new-first', 'old-first']),
  ...countedFields,
})

export function resolveExec(given: ExecConfig, at: string, context: Context): ResolvedExec {
  const when = given.ready ?? 'started'
  const listens = typeof when === 'object' && !('line' in when)
  return {
    ...resolveCommand(given, at, context),
    ready: when,
    stopSignal: given.stopSignal ?? 'SIGTERM',
    ...(given.gracefulTimeoutMs !== undefined && { gracefulTimeoutMs: given.gracefulTimeoutMs }),
    // Where two cannot listen, the old one would answer for the new.
    replace: given.replace ?? (listens ? 'old-first' : 'new-first'),
    ...resolveCounted(given, context),
  }
}
