import { byId, element } from './dom.js'
import { percent, timeOfDay } from './format.js'

const TYPES = ['video.uploaded.v1', 'video.progressed.v1', 'video.ready.v1', 'video.failed.v1']
const MAX_ROWS = 80

/**
 * Everything that passes on the bus, newest first.
 * @param {{ onEvent: (event: any) => void, onOpen: () => void, nameOf: (id: string) => string }} listener
 */
export function followEvents({ onEvent, onOpen, nameOf }) {
  const source = new EventSource('/events')
  const pill = byId('connection')
  const state = (value, text) => {
    pill.dataset['state'] = value
    pill.textContent = text
  }
  source.onopen = () => {
    state('live', 'Live')
    onOpen()
  }
  source.onerror = () => state('connecting', 'Reconnecting')
  for (const type of TYPES) {
    source.addEventListener(type, ({ data }) => {
      const event = JSON.parse(data)
      onEvent(event)
      show(event, nameOf(event.data.id))
    })
  }
}

function show({ type, time, data }, name) {
  const list = byId('feed')
  byId('feed-empty').hidden = true
  const first = list.firstElementChild
  const isSame = type === 'video.progressed.v1' && first?.dataset['type'] === type && first.dataset['id'] === data.id
  const kind = type.split('.')[1]
  const row = element(
    'li',
    { dataset: { type, id: data.id, kind } },
    element('code', {}, type),
    element('time', { dateTime: time }, timeOfDay(time)),
    element('p', {}, describe(type, data, name)),
  )
  // Progress of one video replaces itself, or it would push everything else out.
  if (isSame) first.replaceWith(row)
  else list.prepend(row)
  while (list.childElementCount > MAX_ROWS) list.lastElementChild?.remove()
}

function describe(type, data, name) {
  const subject = data.name ?? (name || data.id.slice(-12))
  if (type === 'video.progressed.v1') return `${percent(data.progress)} ${data.stage} · ${subject}`
  if (type === 'video.failed.v1') return `${subject} · ${data.reason}`
  return subject
}
