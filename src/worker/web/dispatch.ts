/**
 * Gives each accepted connection to one of the threads: the one with the fewest open. A thread that does not take what it was sent is
 * passed over while it is busy, and so loses little if it hangs or crashes; where all are busy, connections wait here.
 */
import type { Socket } from 'node:net'
import { systemClock } from '../../core/clock.ts'
import { TALLY } from '../threads/protocol.ts'
import type { Thread } from '../threads/thread.ts'

export interface Dispatcher {
  /** Connections that wait for a thread. */
  readonly waiting: number
  take(socket: Socket): void
  /** Before the threads stop: what waits goes to them all the same. */
  flush(): void
}

// Longest a thread may leave a connection untaken and still get another, and how many may be on the way to it. Milliseconds.
const PATIENCE_MS = 10
const MOST_ON_THE_WAY = 16
// How soon those that wait are tried again. Milliseconds.
const AGAIN_MS = 1

interface Sent {
  count: number
  /** When those that are on the way were sent, the oldest first; on the monotonic clock. */
  readonly onTheWay: number[]
}

export function createDispatcher(threads: () => readonly Thread[]): Dispatcher {
  const sent = new WeakMap<Thread, Sent>()
  const waiting: Socket[] = []
  let turn = 0

  const sentTo = (thread: Thread): Sent => {
    let found = sent.get(thread)
    if (found === undefined) sent.set(thread, (found = { count: 0, onTheWay: [] }))
    return found
  }

  const isTaking = (thread: Thread, { count, onTheWay }: Sent, now: number): boolean => {
    const untaken = count - Atomics.load(thread.tally, TALLY.arrived)
    onTheWay.splice(0, onTheWay.length - untaken)
    const [oldest] = onTheWay
    return oldest === undefined || (untaken < MOST_ON_THE_WAY && now - oldest < PATIENCE_MS)
  }

  /** Undefined where none can take one; with `force` only where none is left. */
  const choose = (force: boolean): Thread | undefined => {
    const all = threads()
    const now = systemClock.monotonic()
    let chosen: Thread | undefined
    let fewest = Infinity
    // Each time another is asked first, so that equals take turns.
    turn = (turn + 1) % all.length
    for (let i = 0; i < all.length; i++) {
      const thread = all[(turn + i) % all.length]
      if (thread?.usable !== true) continue
      const to = sentTo(thread)
      const open = to.count - Atomics.load(thread.tally, TALLY.closed)
      if (open >= fewest || (!isTaking(thread, to, now) && !force)) continue
      fewest = open
      chosen = thread
    }
    return chosen
  }

  /** False where it has to wait. */
  const give = (socket: Socket, force = false): boolean => {
    const thread = choose(force)
    if (thread === undefined) return false
    const to = sentTo(thread)
    to.count += 1
    to.onTheWay.push(systemClock.monotonic())
    // In order with the thread's stop: what is sent before it is served.
    thread.send({ type: 'connection', socket }, [socket])
    return true
  }

  const again = (): void => {
    while (waiting[0] !== undefined && give(waiting[0])) waiting.shift()
    if (waiting.length > 0) systemClock.after(AGAIN_MS, again)
  }

  return {
    get waiting() {
      return waiting.length
    },
    take(socket) {
      // A client that leaves while it waits; whoever serves it would see the same.
      socket.on('error', () => {})
      if (waiting.length === 0 && give(socket)) return
      waiting.push(socket)
      if (waiting.length === 1) systemClock.after(AGAIN_MS, again)
    },
    flush() {
      for (const socket of waiting.splice(0)) if (!give(socket, true)) socket.destroy()
    },
  }
}
