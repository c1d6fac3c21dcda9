/** Who asks, where a proxy stands between: for the access log alone, the app sees its request unchanged. */
import type { IncomingMessage } from 'node:http'
import { BlockList, isIP } from 'node:net'

/**
 * `trusted`: addresses and networks whose `X-Forwarded-For` is believed, or `*` for all. The header is read from its end, where the nearest
 * proxy wrote, up to the first address that is not trusted: what stands before, a client may have written itself.
 */
export function clientAddresses(trusted: readonly string[]): (request: IncomingMessage) => string {
  if (trusted.length === 0) return peerOf
  const isTrusted = truster(trusted)
  return (request) => {
    let client = peerOf(request)
    // Without an address it came over a unix socket: from this machine.
    if (client !== '-' && !isTrusted(client)) return client
    const forwarded = String(request.headers['x-forwarded-for'] ?? '')
    for (const hop of forwarded.split(',').toReversed()) {
      const address = withoutPort(hop.trim())
      if (isIP(address) === 0) break
      client = address
      if (!isTrusted(address)) break
    }
    return client
  }
}

function truster(trusted: readonly string[]): (address: string) => boolean {
  if (trusted.includes('*')) return () => true
  const list = new BlockList()
  for (const item of trusted) {
    const [address = '', prefix] = item.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (prefix === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(prefix), family)
  }
  return (address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

function peerOf(request: IncomingMessage): string {
  // IPv4 as a socket for both families shows it.
  return request.socket.remoteAddress?.replace(/^::ffff:/, '') ?? '-'
}

/** `1.2.3.4:80` and `[::1]:80` are how some proxies write it. */
function withoutPort(hop: string): string {
  return hop.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1').replace(/^\[(.*)\](:\d+)?$/, '$1')
}
