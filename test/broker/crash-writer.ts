/**
 * Publishes to a store and settles, and says on its standard output what is promised: `confirmed n` after the commit, `settling n`
 * before. To be killed at any system call: `node crash-writer.ts FILE FIRST`.
 */
import { writeSync } from 'node:fs'
import { openStore } from '../../src/broker/store/sqlite-store.ts'
import { harness } from './engine-harness.ts'
import { bodyInMemory } from '../../src/broker/engine/index.ts'

const [path = '', from = '0'] = process.argv.slice(2)
const first = Number(from)
const store = openStore(path, { logPages: 40 })
const h = harness(store, undefined, 20)
const p = h.peer()
h.queue('q')
let next = first
let failed = false
for (let turn = 0; turn < 60; turn++) {
  const sizes = [10, 3000, 10, 30]
  const before = p.settled.length
  for (const size of sizes) p.publish('', 'q', `${next++} ${'x'.repeat(size * (1 + (turn % 5)))}`)
  h.turn()
  for (const settled of p.settled.slice(before)) {
    const [id, outcome] = settled.split(' ')
    if (outcome === 'routed') writeSync(1, `confirmed ${first + Number(id) - 1}\n`)
  }
  if (turn % 3 === 2 && !failed) {
    for (let n = 0; n < 5; n++) {
      const got = p.channel.get('q', false)
      if (!got) continue
      writeSync(1, `settling ${Buffer.from(bodyInMemory(got.message)).toString().split(' ')[0]}\n`)
      p.channel.ack(got.tag, false)
    }
    h.turn()
  }
  try {
    if (turn % 10 === 9 && !failed) for (let looks = 0; looks < 3; looks++) store.tend()
  } catch {
    writeSync(1, 'store-failed\n')
    failed = true
    break
  }
  for (const { type } of h.events.splice(0)) {
    writeSync(1, `${type}\n`)
    failed ||= type === 'store-failed'
  }
}
h.engine.close()
store.close(!failed)
writeSync(1, 'done\n')
