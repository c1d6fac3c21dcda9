/** Breaks links the way a network does, on any transport: what was under way is lost, and nobody says goodbye. */
import { ConnectionError } from '../../core/errors.ts'
import type { OpenOptions, Session, Transport } from '../../core/transport.ts'

export interface Breakable {
  /** Every open session dies at once. Returns how many there were. */
  readonly breakAll: () => number
  /** While true, no session can be opened. */
  readonly refuse: (refusing: boolean) => void
}

export function breakable(inner: Transport): Breakable & { readonly transport: Transport } {
  const open = new Map<Session, OpenOptions>()
  let refused = false
  const transport: Transport = {
    name: inner.name,
    capabilities: inner.capabilities,
    async open(options) {
      if (refused) throw new ConnectionError('The link is cut')
      let session: Session | undefined
      const died = (reason: ConnectionError): void => {
        if (session) open.delete(session)
        options.handlers.died(reason)
      }
      session = await inner.open({ ...options, handlers: { ...options.handlers, died } })
      open.set(session, options)
      return session
    },
  }
  return {
    transport,
    breakAll() {
      const broken = [...open]
      open.clear()
      for (const [session, { handlers }] of broken) {
        session.destroy()
        handlers.died(new ConnectionError('The link was cut'))
      }
      return broken.length
    },
    refuse(refusing) {
      refused = refusing
    },
  }
}
