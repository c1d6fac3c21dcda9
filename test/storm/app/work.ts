import { appendFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { consume, on } from 'omnibus'
import { Ticked, ticks } from './contracts.ts'

// Long enough that a stop nearly always finds some in hand.
export default consume(
  ticks,
  { concurrency: 10 },
  on(Ticked, async ({ data }) => {
    await pause(20)
    appendFileSync('handled', `${data.n}\n`)
  }),
)
