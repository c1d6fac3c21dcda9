/** Standard Webhooks: https://www.standardwebhooks.com, signature version 1. */
import { createHmac } from 'node:crypto'
import type { Head } from './request-head.ts'

const PREFIX = 'whsec_'

/**
 * Of a body sent now; receivers refuse what is minutes old, so each attempt is signed anew. `id`: as it stands in the head, which is what
 * they verify. `now`: milliseconds since 1970.
 */
export function signatureOf(secret: string, id: string, now: number, body: Uint8Array): Head {
  const timestamp = String(Math.floor(now / 1000))
  const key = Buffer.from(secret.slice(PREFIX.length), 'base64')
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` }
}
