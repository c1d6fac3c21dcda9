/** A command's end of the control socket. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { ControlReply, ControlRequest } from './control-protocol.ts'

/** Whether a master listens there. */
export async function masterAnswers(path: string): Promise<boolean> {
  const socket = await open(path)
  socket?.destroy()
  return socket !== undefined
}

/** Every reply, however long it takes, until the master hangs up or the caller has had enough; none where nobody listens. One that is not taken holds the others back. */
export async function* followMaster(path: string, request: ControlRequest): AsyncGenerator<ControlReply, void> {
  const socket = await open(path)
  if (!socket) return
  socket.write(`${JSON.stringify(request)}\n`)
  try {
    for await (const line of createInterface({ input: socket })) {
      const reply = JSON.parse(line) as ControlReply
      // A master that stops has ended when it hangs up.
      if (reply.ok && reply.code !== undefined && !socket.closed) await once(socket, 'close')
      yield reply
    }
  } catch {
    // It was killed in the middle of a line.
  } finally {
    socket.destroy()
  }
}

async function open(path: string): Promise<Socket | undefined> {
  const socket = connect({ path })
  try {
    await once(socket, 'connect')
  } catch {
    return undefined
  }
  socket.on('error', () => {})
  return socket
}
