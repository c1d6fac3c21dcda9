/** Where messages may be sent by HTTP: only where the operator has said, and never to what lies on the link itself. */
import { BlockList, isIP, isIPv6 } from 'node:net'
import { type Field, show } from '../core/options.ts'

/**
 * `never` are addresses that no service of one's own has: unspecified, link-local (where clouds keep credentials), multicast, reserved, and
 * such metadata services as lie elsewhere.
 */
export type AddressKind = 'public' | 'private' | 'loopback' | 'never'

const EXPECTED = 'an http:// or https:// URL'
/** RFC 6052; hosts without IPv4 reach it through these. */
const NAT64 = /^64:ff9b::(?:([\da-f]{1,4}):)?([\da-f]{1,4})$/

const lists: readonly (readonly [AddressKind, BlockList])[] = [
  ['loopback', listOf(['127.0.0.0/8', '::1/128'])],
  [
    'never',
    // IANA's special-purpose registries; 100.100.100.200 and fd00:ec2::254 are metadata services, 168.63.129.16 is Azure's host.
    listOf([
      '0.0.0.0/8',
      '169.254.0.0/16',
      '192.0.0.0/24',
      '224.0.0.0/4',
      '240.0.0.0/4',
      '100.100.100.200/32',
      '168.63.129.16/32',
      '::/96',
      '100::/64',
      '2001::/32',
      '2002::/16',
      'fe80::/10',
      'fec0::/10',
      'ff00::/8',
      'fd00:ec2::254/128',
    ]),
  ],
  ['private', listOf(['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', '198.18.0.0/15', 'fc00::/7'])],
]

/** What an IP address is, in any spelling of it. */
export function kindOf(address: string): AddressKind {
  const [bare = ''] = address.split('%')
  if (!isIPv6(bare)) return isIP(bare) === 0 ? 'never' : (lists.find(([, list]) => list.check(bare))?.[0] ?? 'public')
  const [, high, low] = NAT64.exec(canonical(bare)) ?? []
  if (low !== undefined) return kindOf(ipv4(high ?? '0', low))
  // An IPv4 address that is written as IPv6 is found by the rules of the former.
  return lists.find(([, list]) => list.check(bare, 'ipv6'))?.[0] ?? 'public'
}

/** An address that is written out in the URL, or `localhost`: the operator's own word for where it leads. */
export const isNamedOutright = (url: URL): boolean => isIP(hostOf(url)) !== 0 || /^(.+\.)?localhost\.?$/.test(url.hostname)

/** Without the brackets of IPv6. */
export const hostOf = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, '$1')

/** Why this address may not be sent to, if so. `url` is the one the operator gave. */
export function whyNot(address: string, url: URL, allowPrivate: boolean): string | undefined {
  const kind = kindOf(address)
  if (kind === 'never') return 'is no address that messages may go to'
  if (kind === 'public' || allowPrivate || isNamedOutright(url)) return undefined
  return `is ${kind === 'private' ? 'of a private network' : 'of this machine'}, which is allowed where the URL has the address itself, or with allowPrivate`
}

/** A name is checked when it is resolved, each time anew. */
export const target: Field<string> = {
  read(value, at, problems) {
    const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
    // Whatever follows may hold a password.
    const refuse = (expected: string, got: string): undefined => void problems.push({ path: at, expected, got })
    if (url?.username || url?.password) return refuse(`${EXPECTED} without a user (see token)`, `one for ${url.host} with a user`)
    if (!url || !['http:', 'https:'].includes(url.protocol)) return refuse(EXPECTED, show(value))
    if (url.hash !== '') return refuse(`${EXPECTED} without a fragment`, show(value))
    const host = hostOf(url)
    if (isIP(host) !== 0 && kindOf(host) === 'never') return refuse('an address that messages may go to', host)
    return url.href
  },
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', prefix] = network.split('/')
    list.addSubnet(address, Number(prefix), isIPv6(address) ? 'ipv6' : 'ipv4')
  }
  return list
}

const canonical = (address: string): string => hostOf(new URL(`http://[${address}]`))

function ipv4(high: string, low: string): string {
  const bytes = Buffer.from(high.padStart(4, '0') + low.padStart(4, '0'), 'hex')
  return bytes.join('.')
}
