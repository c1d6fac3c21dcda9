import { join } from 'node:path'
import { run, type Running } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'

/** A consumer of ours in a process of its own, which acks nothing of what it gets. */
export const startHolder = (url: string, queueName: string): Running =>
  run(process.execPath, [join(import.meta.dirname, '../faults/fixtures/consumer.ts')], {
    label: 'holder',
    env: { URL: url, QUEUE: queueName, LEDGER: join(tempDir('ledger'), 'holder'), HANDLE_MS: '600000' },
  })
