/** Keeps each video's record from a durable queue, so that every web worker answers the same, also after a restart. */
import { consume, on } from 'omnibus'
import { openCatalog } from './catalog.ts'
import { records, VideoFailed, VideoProgressed, VideoReady, VideoUploaded } from './contracts.ts'
import { applyFact, type Fact } from './record.ts'
import { readSettings } from './settings.ts'
import { openStorage } from './storage.ts'

const catalog = openCatalog(await openStorage(readSettings().storageUrl))

async function keep(fact: Fact): Promise<void> {
  const before = await catalog.read(fact.data.id)
  const after = applyFact(before, fact)
  if (after !== before) await catalog.write(after)
}

// One at a time: a record is read, changed and written.
export default consume(
  records,
  { concurrency: 1 },
  on(VideoUploaded, ({ id, time, data }) => keep({ type: 'video.uploaded.v1', id, time, data })),
  on(VideoProgressed, ({ id, time, data }) => keep({ type: 'video.progressed.v1', id, time, data })),
  on(VideoReady, ({ id, time, data }) => keep({ type: 'video.ready.v1', id, time, data })),
  on(VideoFailed, ({ id, time, data }) => keep({ type: 'video.failed.v1', id, time, data })),
)
