/** The video component: a process of its own, with storage and ffmpeg, that knows the web app by the contracts alone. */
import { consume, exponential, on } from 'omnibus'
import { transcode, VideoUploaded } from './contracts.ts'
import { findTools } from './ffmpeg.ts'
import { createProcessing } from './processing.ts'
import { readSettings } from './settings.ts'
import { openStorage } from './storage.ts'
import { openWorkFolders } from './work-folder.ts'

const settings = readSettings()
const retry = exponential({ attempts: 5 })

const process = createProcessing({
  storage: await openStorage(settings.storageUrl),
  tools: await findTools(),
  workFolders: await openWorkFolders(settings.tempFolder, settings.maxTempBytes),
  attempts: retry.attempts,
})

// ffmpeg uses every core by itself.
export default consume(transcode, { concurrency: 1, retry, deadLetter: true }, on(VideoUploaded, process))
