import { byId } from './dom.js'
import { followEvents } from './feed.js'
import { createGallery } from './gallery.js'
import { acceptDrops, createUploader } from './upload.js'

const gallery = createGallery()
/** @type {string | undefined} */
let olderThan

const uploader = createUploader((id) => void load(id))
acceptDrops((files) => uploader.add(files))

const input = byId('file')
input.addEventListener('change', () => {
  uploader.add([...input.files])
  input.value = ''
})

const sample = byId('sample')
sample.addEventListener('click', () => void makeSample())

async function makeSample() {
  sample.disabled = true
  sample.textContent = 'Making it …'
  try {
    const response = await fetch('/samples', { method: 'POST' })
    const body = await response.json()
    if (!response.ok) throw new Error(body.message)
    await load(body.id)
    sample.textContent = 'Make another'
  } catch (error) {
    sample.textContent = 'Try again'
    sample.title = error.message
  } finally {
    sample.disabled = false
  }
}

byId('older').addEventListener('click', () => void loadPage(olderThan))

followEvents({
  nameOf: gallery.nameOf,
  onEvent(event) {
    if (gallery.apply(event)) void load(event.data.id)
  },
  // Also after each reconnection: what passed in between is in the records.
  onOpen: () => void loadPage(),
})

fetch('/limits')
  .then((response) => response.json())
  .then(({ maxUploadBytes }) => uploader.limit(maxUploadBytes))
  .catch(() => undefined)

/** @param {string} id */
async function load(id) {
  const response = await fetch(`/videos/${id}`).catch(() => undefined)
  if (response?.ok) gallery.put(await response.json())
}

/** @param {string} [before] */
async function loadPage(before) {
  const response = await fetch(before ? `/videos?before=${before}` : '/videos').catch(() => undefined)
  if (!response?.ok) return
  const records = await response.json()
  for (const record of records) gallery.put(record)
  gallery.showEmpty()
  olderThan = response.headers.get('link') ? records.at(-1)?.id : undefined
  byId('older').hidden = olderThan === undefined
}
