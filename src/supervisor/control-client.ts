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

/** However long it takes; undefined where nobody listens, or the master ends before it has answered. */
export async function askMaster(path: string, request: ControlRequest): Promise<ControlReply | undefined> {
  const socket = await open(path)
  if (!socket) return undefined
  socket.write(`${JSON.stringify(request)}\n`)
  try {
    for await (const line of createInterface({ input: socket })) {
      const reply = JSON.parse(line) as ControlReply
      // A master that stops has ended when it hangs up.
      if (reply.ok && reply.code !== undefined && !socket.closed) await once(socket, 'close')
      return reply
    }
  } catch {
    // It was killed in the middle of a line.
  } finally {
    socket.destroy()
  }
  return undefined
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
