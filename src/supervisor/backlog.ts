/**
 * Makes bound sockets listen without accepting from them, so that nobody else can have their addresses and whoever connects
 * waits until the first worker accepts. Node has no call for it (its servers accept as soon as their event loop turns),
 * so another process does it, with a server that is closed again before its loop has: what listens is the socket that both hold.
 */
import { spawn } from 'node:child_process'
import { Socket } from 'node:net'
import { getSystemErrorMap } from 'node:util'

export interface Listener {
  /** Listening once more only changes the backlog. Rejects with the system's error, `code` and all. */
  listen(fd: number, backlog: number): Promise<void>
  /** Ends its process. */
  close(): void
}

interface Answer {
  readonly id: number
  /** 0, or as libuv counts them. */
  readonly errno: number
}

const SCRIPT = `
const { createServer } = require('node:net')
process.on('message', ({ id, backlog }, handle) => {
  const server = createServer()
  server.on('error', ({ errno }) => process.send({ id, errno }))
  server.on('listening', () => {
    server.close()
    process.send({ id, errno: 0 })
  })
  server.listen(handle, backlog)
})
`

/** Starts its process, which takes as long as Node does: ask for it before it is needed. */
export function startListener(): Listener {
  // Of a process group of its own, so that no Ctrl-C ends it in the middle; it ends when this process does.
  const helper = spawn(process.execPath, ['-e', SCRIPT], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], env: {}, detached: true })
  const waiting = new Map<number, (outcome: number | Error) => void>()
  let lost: Error | undefined
  let last = 0
  const onLost = (error: Error): void => {
    lost = error
    for (const tell of waiting.values()) tell(error)
  }
  helper.once('error', onLost)
  helper.once('exit', (code, signal) => onLost(new Error(`the helper that listens ended with ${code ?? signal}`)))
  helper.on('message', ({ id, errno }: Answer) => waiting.get(id)?.(errno))
  return {
    listen(fd, backlog) {
      const id = ++last
      return new Promise((resolve, reject) => {
        waiting.set(id, (outcome) => {
          waiting.delete(id)
          if (outcome === 0) resolve()
          else reject(typeof outcome === 'number' ? systemError(outcome) : outcome)
        })
        if (lost) return onLost(lost)
        // Its handle rather than the socket object, of which Node would make another there that reads at once.
        const handle = Reflect.get(new Socket({ fd, readable: false }), '_handle') as Socket
        helper.send({ id, backlog }, handle, { keepOpen: true }, (error) => error && onLost(error))
      })
    },
    close() {
      if (helper.connected) helper.disconnect()
    },
  }
}

function systemError(errno: number): Error {
  const [code = 'UNKNOWN', text = `error ${errno}`] = getSystemErrorMap().get(errno) ?? []
  return Object.assign(new Error(`${code}: ${text}`), { code })
}
