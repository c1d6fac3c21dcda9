import { byId, element } from './dom.js'
import { percent, size } from './format.js'

/** Sends files one after the other, each with a bar of its own. @param {(id: string) => void} onAccepted */
export function createUploader(onAccepted) {
  let maxBytes = Infinity
  let last = Promise.resolve()
  const list = byId('uploads')

  const send = (file) => {
    const row = createRow(file.name)
    list.append(row.node)
    if (file.size > maxBytes) return row.fail(`It is larger than the ${size(maxBytes)} that are allowed.`)
    last = last.then(() => row.cancelled || transfer(file, row)).catch(() => undefined)
  }

  const transfer = (file, row) =>
    new Promise((resolve) => {
      const request = new XMLHttpRequest()
      const body = new FormData()
      body.append('file', file)
      request.open('POST', '/videos')
      request.responseType = 'json'
      request.upload.onprogress = ({ loaded, total }) => row.show(total > 0 ? loaded / total : 0)
      request.onload = () => {
        if (request.status === 202) {
          row.node.remove()
          onAccepted(request.response.id)
        } else row.fail(request.response?.message ?? `The server answered ${request.status}.`)
      }
      request.onerror = () => row.fail('The connection was lost.')
      request.onabort = () => row.node.remove()
      request.onloadend = () => resolve(undefined)
      row.onCancel(() => request.abort())
      request.send(body)
    })

  return {
    /** @param {Iterable<File>} files */
    add(files) {
      for (const file of files) send(file)
    },
    /** @param {number} bytes */
    limit(bytes) {
      maxBytes = bytes
      byId('limit').textContent = `, up to ${size(bytes)} each`
    },
  }
}

function createRow(name) {
  const bar = element('progress', { max: 1, value: 0, ariaLabel: `Upload of ${name}` })
  const share = element('span', { className: 'share' }, 'waiting')
  const button = element('button', { type: 'button', className: 'quiet' }, 'Cancel')
  const node = element('li', {}, element('span', { className: 'name' }, name), share, button, bar)
  const row = {
    node,
    cancelled: false,
    show(value) {
      bar.value = value
      share.textContent = value < 1 ? percent(value) : 'storing'
    },
    fail(reason) {
      bar.remove()
      share.remove()
      button.textContent = 'Dismiss'
      row.onCancel(() => node.remove())
      node.append(element('span', { className: 'error', role: 'alert' }, reason))
    },
    onCancel(action) {
      button.onclick = action
    },
  }
  row.onCancel(() => {
    row.cancelled = true
    node.remove()
  })
  return row
}

/** Dropping works on the whole page, so that a near miss does not make the browser leave it. @param {(files: Iterable<File>) => void} onFiles */
export function acceptDrops(onFiles) {
  const zone = byId('drop')
  let depth = 0
  const mark = (change) => {
    depth = Math.max(0, depth + change)
    zone.classList.toggle('over', depth > 0)
  }
  addEventListener('dragenter', () => mark(1))
  addEventListener('dragleave', () => mark(-1))
  addEventListener('dragover', (event) => event.preventDefault())
  addEventListener('drop', (event) => {
    event.preventDefault()
    mark(-depth)
    onFiles(event.dataTransfer?.files ?? [])
  })
}
