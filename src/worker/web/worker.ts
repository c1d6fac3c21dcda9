/** One web worker: loads an app, lets it accept from the inherited sockets or serves it what its host has accepted, and drains it. */
import type { AddressInfo, Server } from 'node:net'
import { messageOf, WorkerError } from '../../core/errors.ts'
import { openStatsd } from '../../metrics/statsd.ts'
import { deadlineIn, unlessAborted, within, type Deadline } from '../deadline.ts'
import { exportNames, loadEntry } from '../entry.ts'
import { hostResources } from '../resources.ts'
import { webSettings } from '../settings.ts'
import type { StartMessage, Unit, UnitContext } from '../unit.ts'
import { accessLog } from './access-log.ts'
import { appOf, unusable, type App } from './app.ts'
import { trackConnections } from './connections.ts'
import { idle } from '../idle.ts'
import { answerListen, type ListenSource } from './listen.ts'
import { requestHooks } from './request-hooks.ts'
import { requestMetrics } from './request-metrics.ts'
import { applyTimeouts } from './timeouts.ts'

// Of the stop budget: what comes after the last request (closing hooks, flushing publishes) needs time too.
const SHARE_AFTER_DRAIN = 0.2
// For what an entry published before its start failed.
const ABORT_CLOSE_MS = 1_000

/** Resolves when the app accepts. `address` is that of a thread's host, which accepts for it. */
export async function openWeb(message: StartMessage, context: UnitContext, address?: AddressInfo): Promise<Unit> {
  const web = webSettings(message)
  const { entry, backlog } = web
  const { log, channel, signal, hooks, preloaded } = context
  const resources = hostResources(log, preloaded)
  const metrics = message.config.statsd
  const statsd = metrics && (await openStatsd(metrics, (error) => log.write('warn', `metrics cannot be sent: ${messageOf(error)}`)))
  const connections = trackConnections([
    ...(web.accessLog === '' ? [] : [accessLog(web.accessLog, web.forwardedAllowIps, log.print)]),
    ...(statsd ? [requestMetrics(statsd)] : []),
    ...requestHooks(hooks),
  ])
  const opened = (server: Server): void => {
    applyTimeouts(server, web)
    connections.watch(server)
  }
  const socket = answerListen({ source: address ? { address } : inherited(message), backlog, opened })
  const open = async (): Promise<App> => {
    const exports = await idle(channel, loadEntry('web.entry', entry), () => {
      throw new WorkerError(`web.entry ${entry} waits for something that can never happen (an unsettled top-level await)`)
    })
    const app = await appOf(exports, {
      entry,
      listening: () => socket.server !== undefined,
      onError: (error) => log.write('error', `request failed: ${messageOf(error)}`, { error }),
    })
    await hooks.run('postWorkerInit', {})
    if (socket.server === undefined) await app?.listen?.()
    await idle(channel, socket.accepting, () => {
      throw unusable(entry, `${exportNames(exports)}, and did not listen`)
    })
    return app ?? {}
  }
  let app: App
  try {
    app = await unlessAborted(signal, open())
  } catch (error) {
    await resources.close(deadlineIn(ABORT_CLOSE_MS))
    throw error
  }

  return {
    status() {
      const connected = resources.connected()
      return { inFlight: connections.inFlight, requests: connections.requests, ...(connected === undefined ? {} : { connected }) }
    },
    accept: socket.serve,
    async stop(_reason, deadline) {
      socket.closeFurther()
      const cut = await connections.drain(deadline.leaving(SHARE_AFTER_DRAIN))
      const unclosed = await closeApp(app, deadline)
      await within(deadline.leaving(0.5).remainingMs(), statsd?.close() ?? Promise.resolve())
      return [...cut, ...unclosed, ...(await resources.close(deadline))]
    },
  }

  async function closeApp(closing: App, deadline: Deadline): Promise<readonly string[]> {
    try {
      const done = await within(deadline.leaving(0.5).remainingMs(), Promise.resolve(closing.close?.()))
      return done ? [] : ["the app's close hooks"]
    } catch (error) {
      log.write('error', `closing the app failed: ${messageOf(error)}`, { error })
      return []
    }
  }
}

function inherited(message: StartMessage): ListenSource {
  const [fd, ...further] = message.listenFds ?? []
  if (fd === undefined) throw new TypeError('a web unit needs listenFds')
  const [first = ''] = webSettings(message).bind
  return { fds: [fd, ...further], path: first.startsWith('unix:') ? first.slice('unix:'.length) : undefined }
}
