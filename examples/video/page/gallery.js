import { byId, element } from './dom.js'
import { dayAndTime, duration, percent, size } from './format.js'

const STAGES = { loading: 'Fetching the upload', transcoding: 'Converting', pictures: 'Taking pictures', saving: 'Saving' }
const ORDER = ['queued', 'processing', 'failed', 'ready']

/**
 * The cards, newest first. Records come from the server, events from the bus; whichever is later, a card never goes back.
 */
export function createGallery() {
  /** @type {Map<string, { record: Record<string, any>, card: HTMLElement, shown?: string }>} */
  const entries = new Map()
  const cards = byId('cards')

  const put = (record) => {
    const known = entries.get(record.id)
    if (known) {
      known.record = later(known.record, record)
      draw(known)
    } else {
      const entry = { record, card: element('article', { className: 'card' }) }
      entry.card.dataset['id'] = record.id
      entries.set(record.id, entry)
      draw(entry)
      // Ids begin with their time.
      const next = [...cards.children].find((other) => other.dataset['id'] < record.id)
      cards.insertBefore(entry.card, next ?? null)
    }
    byId('empty').hidden = entries.size > 0
    byId('count').textContent = entries.size > 0 ? String(entries.size) : ''
  }

  return {
    put,
    /** @param {string} id */
    nameOf: (id) => entries.get(id)?.record.name ?? '',
    showEmpty: () => void (byId('empty').hidden = entries.size > 0),
    /** What an event tells of a video; true when the video is new to this page. */
    apply({ type, data, time }) {
      const known = entries.get(data.id)?.record
      const base = known ?? { id: data.id, name: '', bytes: 0, uploadedAt: time, state: 'queued', progress: 0, outputs: [] }
      const { path: _, ...facts } = data
      if (type === 'video.uploaded.v1') put({ ...base, ...facts })
      if (type === 'video.progressed.v1') put({ ...base, ...facts, state: 'processing' })
      if (type === 'video.failed.v1') put({ ...base, ...facts, state: 'failed' })
      if (type === 'video.ready.v1') {
        const outputs = data.outputs.map((output) => ({ ...output, path: `/${output.path}` }))
        put({ ...base, ...facts, outputs, state: 'ready', progress: 1 })
      }
      return !known
    },
  }
}

function later(known, news) {
  const [before, after] = [ORDER.indexOf(known.state), ORDER.indexOf(news.state)]
  if (after < before) return { ...news, ...known, name: known.name || news.name, bytes: known.bytes || news.bytes }
  if (after === before && news.progress < known.progress) return known
  return { ...known, ...news }
}

function draw(entry) {
  const { record, card } = entry
  // A card is built anew only when its state changes: a film that plays is not to be touched.
  if (entry.shown !== record.state) {
    entry.shown = record.state
    card.dataset['state'] = record.state
    const stage = element('div', { className: 'stage' }, record.state === 'ready' ? player(record) : waiting(record))
    card.replaceChildren(
      stage,
      element('div', { className: 'about' }, element('h3'), element('p', { className: 'facts' }), actions(record)),
    )
  }
  const title = card.querySelector('h3')
  title.textContent = title.title = record.name || 'Untitled'
  card.querySelector('.facts').replaceChildren(...facts(record))
  if (record.state === 'processing') {
    card.querySelector('progress').value = record.progress
    card.querySelector('b').textContent = percent(record.progress)
    card.querySelector('.waiting span').textContent = STAGES[record.stage] ?? 'Processing'
  }
}

function waiting(record) {
  if (record.state === 'failed') {
    return element('div', { className: 'waiting' }, element('b', {}, 'This did not work'), element('span', {}, record.reason ?? ''))
  }
  if (record.state === 'queued') return element('div', { className: 'waiting' }, element('span', {}, 'Waiting for its turn'))
  const bar = element('progress', { max: 1, value: record.progress, ariaLabel: 'Processing' })
  return element('div', { className: 'waiting' }, element('b'), element('span'), bar)
}

function player(record) {
  const video = outputOf(record, 'video')
  return element('video', {
    controls: true,
    playsInline: true,
    preload: 'none',
    poster: outputOf(record, 'poster')?.path,
    src: video?.path,
    ariaLabel: record.name,
  })
}

function facts(record) {
  const shown = []
  if (record.durationSeconds) shown.push(duration(record.durationSeconds))
  if (record.width) shown.push(`${record.width} × ${record.height}`)
  const video = outputOf(record, 'video')
  if (video && record.bytes) shown.push(`${size(record.bytes)} → ${size(video.bytes)}`)
  else if (record.bytes) shown.push(size(record.bytes))
  const when = record.uploadedAt && element('span', { className: 'when' }, dayAndTime(record.uploadedAt))
  return [...shown.map((text) => element('span', {}, text)), ...(when ? [when] : [])]
}

function actions(record) {
  if (record.state !== 'ready') return undefined
  const sheet = outputOf(record, 'contact-sheet')
  const link = (text, output) => output && element('a', { className: 'button', href: output.path, target: '_blank', rel: 'noopener' }, text)
  const open = element('button', { type: 'button', onclick: () => showSheet(sheet.path) }, 'Contact sheet')
  const video = outputOf(record, 'video')
  const download =
    video &&
    element(
      'a',
      { className: 'button', href: video.path, download: `${record.name.replace(/\.\w+$/, '') || 'video'}-480p.mp4` },
      'Download',
    )
  return element('div', { className: 'actions' }, sheet && open, download, link('Metadata', outputOf(record, 'metadata')))
}

function outputOf(record, kind) {
  return record.outputs.find((output) => output.kind === kind)
}

function showSheet(path) {
  const dialog = byId('sheet')
  dialog.querySelector('img').src = path
  dialog.showModal()
}
