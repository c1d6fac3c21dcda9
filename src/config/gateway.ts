/** Messages that come by HTTP: the unit `gateway`. */
import { type Field, object, text, whole } from '../core/options.ts'
import { inFull, isLoopback, normalAddress } from './address.ts'
import { reportMissing } from './missing.ts'
import { token } from './secrets.ts'
import { type Context, type Resolved, resolveRestart, restart, type RestartConfig } from './unit.ts'

export interface GatewayConfig {
  /** `host:port` or `unix:/path`. */
  listen: string
  /** Wanted from clients as `Authorization: Bearer`; without, `listen` has to be of this machine. @default none */
  token?: string
  /** Larger ones are answered with 413. @default 1 MiB */
  maxBodyBytes?: number
  /** Requests under way; beyond, 503. @default 1_000 */
  maxConcurrent?: number
  restart?: RestartConfig
}

export type ResolvedGateway = Resolved<GatewayConfig, 'token'>

const LISTEN_EXPECTED = 'host:port or unix:/path'

export const gatewayField: Field<GatewayConfig> = object<GatewayConfig>({
  listen: text({ expected: LISTEN_EXPECTED, test: (value) => normalAddress(value, '/') !== undefined }),
  token,
  maxBodyBytes: whole({ min: 1 }),
  maxConcurrent: whole({ min: 1 }),
  restart,
})

export function resolveGateway(given: Partial<GatewayConfig>, { base, problems, restart: general }: Context): ResolvedGateway {
  const { token: bearer, maxBodyBytes = 1024 * 1024, maxConcurrent = 1_000 } = given
  if (given.listen === undefined) reportMissing('gateway.listen', LISTEN_EXPECTED, problems)
  const listen = inFull(given.listen ?? '', base)
  if (given.listen !== undefined && bearer === undefined && !isLoopback(listen))
    problems.push({ path: 'gateway.token', expected: `a token, since ${given.listen} can be reached from other machines`, got: 'nothing' })
  return {
    listen,
    ...(bearer !== undefined && { token: bearer }),
    maxBodyBytes,
    maxConcurrent,
    restart: resolveRestart(given.restart, general),
  }
}
