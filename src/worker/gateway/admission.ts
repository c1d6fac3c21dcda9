/** Who may ask, and for what; told by the head of a request, before its body is read. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { ResolvedGateway } from '../../config/gateway.ts'
import { isNamedOutright } from '../../config/target.ts'
import { Refusal } from './refusal.ts'

/** The query of a request that is admitted. Throws `Refusal`. */
export type Admit = (request: IncomingMessage) => URLSearchParams

export function admission({ token, listen }: Pick<ResolvedGateway, 'token' | 'listen'>): Admit {
  const wanted = token === undefined ? undefined : digest(`Bearer ${token}`)
  const isReachedByName = !listen.startsWith('unix:')
  return ({ url = '/', method, headers }) => {
    if (wanted && !timingSafeEqual(wanted, digest(headers.authorization ?? '')))
      throw new Refusal(401, 'expected the token as Authorization: Bearer')
    if (!wanted && isReachedByName) refuseBrowsers(headers)
    const target = URL.parse(url, 'http://gateway')
    if (target?.pathname !== '/publish') throw new Refusal(404, 'there is POST /publish')
    if (method !== 'POST') throw new Refusal(405, `expected POST, got ${method}`)
    if (headers['content-encoding'] !== undefined) throw new Refusal(415, 'expected a body without a content encoding')
    return target.searchParams
  }
}

/** Any page may send a browser's requests to this machine, and its name may be made to lead here, so that it is of the same origin. */
function refuseBrowsers({ origin, host, 'sec-fetch-site': site }: IncomingHttpHeaders): void {
  if (origin !== undefined || site !== undefined) throw new Refusal(403, 'expected no browser, since there is no token')
  const asked = host === undefined ? undefined : URL.parse(`http://${host}`)
  if (asked === null || (asked && !isNamedOutright(asked)))
    throw new Refusal(403, 'expected an address or localhost as Host, since there is no token')
}

/** Equal lengths, whatever is given. */
const digest = (value: string): Buffer => createHash('sha256').update(value).digest()
