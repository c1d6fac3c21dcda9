/** The app where the supervisor shares the table. */
import { preloaded } from 'omnibus/preloaded'

globalThis.table = preloaded().table
await import('./plain.mjs')
