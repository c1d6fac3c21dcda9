/**
 * Loaded before all else in every process and thread under `omnibus dev`, by `node --import`: tells the master which files
 * are loaded and what fails, and shows failures on the pages of a web worker. Nothing of it is there under `serve`.
 */
import { subscribe } from 'node:diagnostics_channel'
import { fileURLToPath } from 'node:url'
import { BroadcastChannel, isMainThread } from 'node:worker_threads'
import { WATCH_CHANNEL } from '../../core/host.ts'
import { FAULTS_CHANNEL, type FromChild, type UnitFault } from '../../supervisor/protocol.ts'
import { FAILURE_CHANNEL } from '../failure.ts'
import { describeFault } from './fault.ts'
import { reportModules } from './modules.ts'
import { showFaults } from './page.ts'

type Report = Extract<FromChild, { type: 'modules' | 'fault' }>

/** Threads have no channel of their own to the master: what they report goes through the main thread of their process. */
const THREADS = 'omnibus:dev'
/** Who forks inherits the flag, but has another master than ours. */
const isOurs =
  !isMainThread || process.argv[1] === fileURLToPath(import.meta.resolve(`../main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`))

if (isOurs) {
  const threads = new BroadcastChannel(THREADS)
  threads.unref()
  let told = false
  const send = (report: Report): void => {
    // That of a thread comes again as its host's, and knows less then.
    if (report.type === 'fault' && told) return
    told ||= report.type === 'fault'
    if (isMainThread) process.send?.(report)
    else threads.postMessage(report)
  }
  if (isMainThread) {
    threads.onmessage = ({ data }: { data: unknown }) => send(data as Report)
    subscribe(FAULTS_CHANNEL, (faults) => showFaults(faults as readonly UnitFault[]))
  }
  const modules = reportModules((files, at) => send({ type: 'modules', files, at }))
  subscribe(WATCH_CHANNEL, (file) => modules.add(String(file)))
  subscribe(FAILURE_CHANNEL, (error) => {
    const fault = describeFault(error, modules)
    modules.flush()
    send({ type: 'fault', fault })
  })
}
