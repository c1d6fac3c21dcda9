/** Where to listen, as people write it: `host:port`, `:port` (all interfaces), `[::1]:port`, `unix:/path`. */
import { isIP, isIPv6 } from 'node:net'
import { resolve } from 'node:path'

export const ADDRESS_EXPECTED = 'host:port, :port or unix:/path'

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

/** An IP address, or a network as `10.0.0.0/8`. */
export function isNetwork(text: string): boolean {
  const [, address = '', prefix = '0'] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const family = isIP(address)
  return family !== 0 && Number(prefix) <= (family === 6 ? 128 : 32)
}
