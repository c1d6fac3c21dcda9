/** Options of the tables that inboxes and outboxes have. */
import { type Field, readOptions, text, whole } from '../core/options.ts'

export interface InboxOptions {
  /** With a schema before it, if need be. @default 'omnibus_inbox' */
  table?: string
  /** How long a message is remembered: what comes again later is handled again. Milliseconds. @default 604_800_000, a week */
  windowMs?: number
}

export interface OutboxOptions {
  /** With a schema before it, if need be. @default 'omnibus_outbox' */
  table?: string
}

/** Every so many messages, up to twice as many rows are removed that are older than the window: more than were added since. */
export const SWEEP_EVERY = 100
export const SWEEP_ROWS = 2 * SWEEP_EVERY

/** Messages that a relay takes at a time. */
export const RELAYED_ROWS = 200

/** It becomes part of statements. */
const tableField: Field<string> = text({
  expected: "a table's name of letters, digits and _, such as app.inbox",
  test: (value) => /^([a-z_]\w*\.)?[a-z_]\w*$/i.test(value),
})

/** Throws `ConfigError`. */
export function readInboxOptions(subject: string, options: InboxOptions): Required<InboxOptions> {
  const { table = 'omnibus_inbox', windowMs = 604_800_000 } = readOptions<InboxOptions>(
    subject,
    { table: tableField, windowMs: whole({ min: 1 }) },
    options,
  )
  return { table, windowMs }
}

/** Throws `ConfigError`. */
export function readOutboxOptions(subject: string, options: OutboxOptions): Required<OutboxOptions> {
  const { table = 'omnibus_outbox' } = readOptions<OutboxOptions>(subject, { table: tableField }, options)
  return { table }
}
