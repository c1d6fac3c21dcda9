import { PassThrough } from 'node:stream'
import { broadcast, type Bus, type ConsumerDefinition, type Message, on } from 'omnibus'
import { VideoFailed, VideoProgressed, VideoReady, VideoUploaded } from '../contracts.ts'

/** What is on the bus, as server-sent events for every browser that listens to this worker. */
export interface Live {
  /** This worker's own queue: every worker hears every event. */
  readonly consumer: ConsumerDefinition
  /** A stream for one browser; it ends by itself when the browser is gone. */
  open(): PassThrough
  /** Ends all streams. Browsers come again, to a worker that stays. */
  close(): void
}

/** Proxies close what is silent. Milliseconds. */
const HEARTBEAT_MS = 15_000
/** A browser that reads slower than this much behind is let go; it comes again and starts at the present. */
const MAX_BEHIND_BYTES = 256 * 1024

export function createLive(): Live {
  const streams = new Set<PassThrough>()
  const send = (text: string): void => {
    for (const stream of streams) {
      if (stream.writableLength > MAX_BEHIND_BYTES) stream.destroy()
      else stream.write(text)
    }
  }
  const heartbeat = setInterval(() => send(': still here\n\n'), HEARTBEAT_MS).unref()
  const tell = ({ id, type, time, data }: Message): void =>
    send(`id: ${id}\nevent: ${type}\ndata: ${JSON.stringify({ id, type, time, data })}\n\n`)
  return {
    consumer: broadcast(on(VideoUploaded, tell), on(VideoProgressed, tell), on(VideoReady, tell), on(VideoFailed, tell)),
    open() {
      const stream = new PassThrough({ highWaterMark: MAX_BEHIND_BYTES * 2 })
      streams.add(stream)
      // Without it the browser would wait some seconds before it comes again.
      stream.write('retry: 1000\n\n')
      return stream.once('close', () => streams.delete(stream)).on('error', () => {})
    },
    close() {
      clearInterval(heartbeat)
      for (const stream of streams) stream.end()
    },
  }
}

/** Starts the worker's consumer as soon as the bus can be reached; the app serves before that. */
export async function follow(bus: Pick<Bus, 'consume'>, live: Live, signal: AbortSignal, onError: (error: unknown) => void): Promise<void> {
  while (!signal.aborted) {
    try {
      await bus.consume(live.consumer)
      return
    } catch (error) {
      if (signal.aborted) return
      onError(error)
      await new Promise((resolve) => setTimeout(resolve, 2_000).unref())
    }
  }
}
