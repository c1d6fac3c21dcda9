/** The broker. */
import { resolve } from 'node:path'
import { type Field, object, show } from '../core/options.ts'
import { redactUrl } from '../core/redact.ts'
import { address, inFull } from './address.ts'
import type { Flags } from './flags.ts'
import { path } from './paths.ts'

export interface BusConfig {
  /** One broker or several to try in turn. @default the built-in broker in `data` */
  url?: string | string[] | undefined
  /** The built-in broker's folder, relative to the config file. @default '.omnibus' */
  data?: string
  /** `host:port` where the built-in broker also speaks AMQP over TCP. @default none */
  listen?: string
}

export interface ResolvedBus {
  readonly urls: readonly string[]
  readonly builtin: boolean
  readonly data: string
  readonly listen?: string
}

/** An empty text counts as absent, since `url: process.env.BUS_URL` is how it is written. What is shown has no password. */
export const busUrl: Field<string | string[]> = {
  read(value, at, problems) {
    const urls: unknown[] = (Array.isArray(value) ? value : [value]).filter((item) => item !== '')
    const wrong = urls.filter((item) => typeof item !== 'string' || !/^[a-z][a-z0-9+.-]*:\/\/\S/i.test(item))
    const expected = 'a URL such as amqp://user:password@host:5672/vhost, or a list of them'
    for (const item of wrong) problems.push({ path: at, expected, got: typeof item === 'string' ? redactUrl(item) : show(item) })
    return urls.filter((item) => typeof item === 'string')
  },
}

export const busField: Field<BusConfig> = object<BusConfig>({ url: busUrl, data: path, listen: address })

export interface BusContext {
  readonly base: string
  /** They go before the config. */
  readonly flags: Pick<Flags, 'busUrl' | 'data' | 'listen'>
  /** Where relative paths of flags start from. */
  readonly root: string
}

export function resolveBus(given: BusConfig, { base, flags, root }: BusContext): ResolvedBus {
  const urls = [flags.busUrl ?? given.url ?? []].flat()
  const listen = flags.listen ?? given.listen
  return {
    urls,
    builtin: urls.length === 0,
    data: flags.data === undefined ? resolve(base, given.data ?? '.omnibus') : resolve(root, flags.data),
    ...(listen !== undefined && { listen: inFull(listen, base) }),
  }
}
