/** Where to listen, as people write it: `host:port`, `:port` (all interfaces), `[::1]:port`, `unix:/path`, `fd://N`. */
import { isIP, isIPv6 } from 'node:net'
import { resolve } from 'node:path'
import { type Field, show, text } from '../core/options.ts'

export const ADDRESS_EXPECTED = 'host:port, :port or unix:/path'
const BIND_EXPECTED = 'host:port, :port, unix:/path or fd://N, or a list of them'

/**
 * The address in full, `host:port` with IPv6 in brackets or `unix:/absolute/path`, or undefined when the text is none.
 * Port 0 asks the system for a free one. Relative socket paths start from `base`.
 */
export function normalAddress(given: string, base: string): string | undefined {
  if (given.startsWith('unix:')) return given.length > 5 ? `unix:${resolve(base, given.slice(5))}` : undefined
  const match = /^(?:\[([^\]]+)\]|([^\s:/[\]]*)):(\d{1,5})$/.exec(given)
  if (!match || Number(match[3]) > 65_535) return undefined
  if (match[1] !== undefined) return isIPv6(match[1]) ? `[${match[1]}]:${Number(match[3])}` : undefined
  return `${match[2] || '0.0.0.0'}:${Number(match[3])}`
}

export const address: Field<string> = text({ expected: ADDRESS_EXPECTED, test: (value) => normalAddress(value, '/') !== undefined })

/** Of what `address` has read. */
export function inFull(given: string, base: string): string {
  return normalAddress(given, base) ?? given
}

/** Only processes of this machine reach it; a unix socket, what its folder allows. `given` in full. */
export function isLoopback(given: string): boolean {
  // A name may begin with 127., and lead anywhere.
  return /^(unix:|localhost:|127(\.\d{1,3}){3}:|\[::1\]:)/.test(given)
}

/** An IP address, or a network as `10.0.0.0/8`. */
export function isNetwork(given: string): boolean {
  const [, ip = '', prefix = '0'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(given) ?? []
  const family = isIP(ip)
  return family !== 0 && Number(prefix) <= (family === 6 ? 128 : 32)
}

/** As `normalAddress`, or `fd://N` for a descriptor that was inherited; 0 to 2 are stdin, stdout and stderr. */
export function normalBind(given: string, base: string): string | undefined {
  const [, fd] = /^fd:\/\/(\d{1,6})$/.exec(given) ?? []
  if (fd === undefined) return normalAddress(given, base)
  return Number(fd) > 2 ? `fd://${Number(fd)}` : undefined
}

/** One or several of them. */
export const binds: Field<string | string[]> = {
  read(value, at, problems) {
    const all: unknown[] = Array.isArray(value) ? value : [value]
    const wrong = all.filter((item) => typeof item !== 'string' || normalBind(item, '/') === undefined)
    for (const item of all.length === 0 ? [value] : wrong) problems.push({ path: at, expected: BIND_EXPECTED, got: show(item) })
    const right = all.filter((item) => typeof item === 'string')
    const twice = right.find((item, index) => right.indexOf(item) !== index)
    if (twice !== undefined) problems.push({ path: at, expected: 'each address once', got: `${show(twice)} twice` })
    return right
  },
}
