/** The web app's entry: what `omnibus serve` runs in each web worker. */
import { createBus } from 'omnibus'
import { records, transcode } from './contracts.ts'
import { readSettings } from './settings.ts'
import { openStorage } from './storage.ts'
import { createWeb } from './web/app.ts'

const settings = readSettings()

/** What is published waits in these queues, also for a component that has never run yet. */
const bus = createBus({ declares: [transcode, records] })

export default await createWeb({ bus, storage: await openStorage(settings.storageUrl), settings })
