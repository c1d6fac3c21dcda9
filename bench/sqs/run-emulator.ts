/**
 * SQS as an emulator from npm, or with `front` what stands before it for clients of its older protocol, in a process of its own. Tells its parent
 * where it is, and whenever asked the CPU it has used; a queue named to it is emptied by being made anew.
 */
import { startQueryFront } from '../../test/support/sqs-query.ts'
import { startSqs } from '../../test/support/sqs.ts'

const [what, endpoint = ''] = process.argv.slice(2)
const tell = (message: object): void => void process.send?.(message)

if (what === 'front') tell({ host: (await startQueryFront(endpoint)).host })
else {
  const emulator = await startSqs()
  process.on('message', (message: { empty?: string }) => {
    if (message.empty === undefined) return
    emulator.server.deleteQueue(message.empty)
    emulator.server.createQueue(message.empty)
    tell({ emptied: message.empty })
  })
  tell({ host: new URL(emulator.endpoint).host })
}
process.on('message', (message: { usage?: true }) => {
  if (!message.usage) return
  const { user, system } = process.cpuUsage()
  tell({ cpuMicroseconds: user + system })
})
process.once('disconnect', () => process.exit(0))
