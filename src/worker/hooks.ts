/** Runs hooks of the config file: bounded in time, and with an end that is told whatever they do. */
import { HOOKS, type HookGiven, type HookName, type Hooks } from '../config/hooks.ts'
import type { ResolvedConfig } from '../config/types.ts'
import { messageOf, WorkerError } from '../core/errors.ts'
import { within } from './deadline.ts'
import type { Log } from './log.ts'

export interface HookRunner<Name extends HookName = HookName> {
  has(name: Name): boolean
  /**
   * Calls the hook before it returns itself, and resolves when the hook has ended, or with false when `hookTimeoutMs` or
   * `withinMs` are over. Rejects with `WorkerError` where a hook that decides has thrown or overrun; else that is logged.
   */
  run<One extends Name>(name: One, given: HookGiven<One>, withinMs?: number): Promise<boolean>
}

export function hookRunner(hooks: Hooks, config: ResolvedConfig, log: Log): HookRunner {
  const { hookTimeoutMs } = config
  return {
    has: (name) => hooks[name] !== undefined,
    async run(name, given, withinMs = Infinity) {
      // Bound, as users write methods: a hook may call another by `this`.
      const call = hooks[name]?.bind(hooks) as ((context: unknown) => unknown) | undefined
      if (call === undefined) return true
      let returned = true
      let failure: WorkerError
      try {
        const result = call({ config, ...given })
        // Those around requests must not cost a timer each.
        if (!isPromise(result)) return true
        const limitMs = Math.min(hookTimeoutMs, withinMs)
        returned = await within(limitMs, result)
        if (returned) return true
        const which = limitMs === hookTimeoutMs ? ' (hookTimeoutMs)' : ''
        failure = new WorkerError(`hooks.${name} did not return within ${Math.round(limitMs)} ms${which}${describe(given)}`)
      } catch (cause) {
        failure = new WorkerError(`hooks.${name} failed: ${messageOf(cause)}${describe(given)}`, { cause })
      }
      if (HOOKS[name].decides) throw failure
      log.write('error', failure.message, { hook: name, error: failure })
      return returned
    },
  }
}

/** What tells this call from others, for the log. */
function describe(given: Readonly<Record<string, unknown>>): string {
  const { unit, label = unit, pid: _pid, request, ...rest } = given
  const details = Object.entries({ process: label, request: request && requestLine(request), ...rest })
  const told = details.filter(([, value]) => value !== undefined).map(([name, value]) => `${name} ${String(value)}`)
  return told.length === 0 ? '' : `; given ${told.join(', ')}`
}

/** Without the query, which may hold secrets. */
function requestLine(request: object): string {
  return `${Reflect.get(request, 'method')} ${String(Reflect.get(request, 'url')).replace(/\?.*$/s, '')}`
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'then') === 'function'
}
