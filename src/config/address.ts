/** Where to listen, as people write it: `host:port`, `:port` (all interfaces), `[::1]:port`, `unix:/path`, `fd://N`. */
import { isIP, isIPv6 } from 'node:net'
import { resolve } from 'node:path'
import { type Field, show } from '../core/options.ts'

export const ADDRESS_EXPECTED = 'host:port, :port or unix:/path'
const BIND_EXPECTED = 'host:port, :port, unix:/path or fd://N, or a list of them'

/**
 * The address in full, `host:port` with IPv6 in brackets or `unix:/absolute/path`, or undefined when the text is none.
 * Port 0 asks the system for a free one. Relative socket paths start from `base`.
 */
export function normalAddress(text: string, base: string): string | undefined {
  if (text.startsWith('unix:')) return text.length > 5 ? `unix:${resolve(base, text.slice(5))}` : undefined
  const match = /^(?:\[([^\]]+)\]|([^\s:/[\]]*)):(\d{1,5})$/.exec(text)
  if (!match || Number(match[3]) > 65_535) return undefined
  if (match[1] !== undefined) return isIPv6(match[1]) ? `[${match[1]}]:${Number(match[3])}` : undefined
  return `${match[2] || '0.0.0.0'}:${Number(match[3])}`
}

/** Only processes of this machine reach it; a unix socket, what its folder allows. `address` in full. */
export function isLoopback(address: string): boolean {
  return /^(unix:|localhost:|127\.|\[::1\]:)/.test(address)
}

/** An IP address, or a network as `10.0.0.0/8`. */
export function isNetwork(text: string): boolean {
  const [, address = '', prefix = '0'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const family = isIP(address)
  return family !== 0 && Number(prefix) <= (family === 6 ? 128 : 32)
}

/** As `normalAddress`, or `fd://N` for a descriptor that was inherited; 0 to 2 are stdin, stdout and stderr. */
export function normalBind(text: string, base: string): string | undefined {
  const [, fd] = /^fd:\/\/(\d{1,6})$/.exec(text) ?? []
  if (fd === undefined) return normalAddress(text, base)
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
