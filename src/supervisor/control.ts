/** The control socket. Whoever can open it is the user the master runs as, or root: it lies in a private folder. */
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { createInterface } from 'node:readline'
import { messageOf } from '../core/errors.ts'
import { announcedMasters, announceMaster, makeControlPath, withdrawMaster } from './announcement.ts'
import { masterAnswers } from './control-client.ts'
import { type ControlReply, type ControlRequest, readRequest } from './control-protocol.ts'

export interface Control {
  /** Takes no more requests and removes its files; replies that are still owed can be sent. May be called twice. */
  withdraw(): void
  /** Ends what is still connected. */
  close(): void
}

export interface ControlOptions {
  /** The folder of the config, under which the socket is announced. */
  readonly root: string
  readonly file: string | undefined
  readonly onRequest: (request: ControlRequest, asker: Asker) => void
}

/** Who has sent a request. */
export interface Asker {
  reply(answer: ControlReply): void
  /** It reads more slowly than it is answered. */
  readonly isBehind: boolean
  /** One listener each. Called when it has read all there was. */
  onDrain(listener: () => void): void
  onClose(listener: () => void): void
}

/** Of answers nobody has read yet. Bytes. */
const MOST_OWED = 262_144

/** Rejects where no socket or file can be made. */
export async function startControl({ root, file, onRequest }: ControlOptions): Promise<Control> {
  await removeDead(root)
  const connections = new Set<Socket>()
  const server = createServer((connection) => {
    connections.add(connection)
    connection.once('close', () => connections.delete(connection))
    connection.on('error', () => {})
    const asker = askerOf(connection)
    createInterface({ input: connection }).on('line', (line) => {
      let request: ControlRequest
      try {
        request = readRequest(line)
      } catch (error) {
        return asker.reply({ ok: false, error: messageOf(error) })
      }
      onRequest(request, asker)
    })
  })
  const path = makeControlPath()
  const withdraw = (): void => {
    server.close()
    withdrawMaster(root, path)
  }
  try {
    server.listen({ path })
    await once(server, 'listening')
    chmodSync(path, 0o600)
    announceMaster(root, { socket: path, pid: process.pid, host: hostname(), ...(file !== undefined && { file }) })
  } catch (error) {
    withdraw()
    throw error
  }
  // It must not keep an ending master alive.
  server.unref()
  return {
    withdraw,
    close() {
      withdraw()
      for (const connection of connections) connection.destroySoon()
    },
  }
}

function askerOf(connection: Socket): Asker {
  return {
    reply(answer) {
      if (connection.writable) connection.write(`${JSON.stringify(answer)}\n`)
    },
    get isBehind() {
      return connection.writableLength > MOST_OWED
    },
    onDrain: (listener) => void connection.on('drain', listener),
    onClose: (listener) => void connection.once('close', listener),
  }
}

/** What masters that were killed have left. */
async function removeDead(root: string): Promise<void> {
  for (const { socket } of announcedMasters(root)) if (!(await masterAnswers(socket))) withdrawMaster(root, socket)
}
