/** The built-in broker of a data folder, at `omnibus:///absolute/folder?spawn=true|false`: AMQP over its unix socket. */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type AmqpConnection, openAmqpConnection } from '../../amqp/index.ts'
import { sleep, systemClock } from '../../core/clock.ts'
import { ConnectionError, messageOf } from '../../core/errors.ts'
import { flag, show } from '../../core/options.ts'
import type { OpenOptions, Session, Transport } from '../../core/transport.ts'
import { readUrl, truth } from '../../core/url-options.ts'
import { clientProperties } from './client-properties.ts'
import { amqpCapabilities } from './index.ts'
import { amqpSession } from './session.ts'

const POLL_MS = 50
/** sysexits.h EX_CONFIG: the folder or its store is refused, which starting again cannot help. */
const EXIT_REFUSED = 78

export const builtinTransport: Transport = Object.freeze({
  name: 'omnibus',
  capabilities: amqpCapabilities,
  check: (url: URL) => void addressOf(url),
  open,
})

/**
 * Connects to the broker whose socket `<folder>/broker.json` names. Where none answers, it is started in the background, unless
 * the URL says `spawn=false`, and waited for until the connect timeout.
 */
async function open(options: OpenOptions): Promise<Session> {
  const { folder, spawn: maySpawn } = addressOf(options.url)
  const deadline = systemClock.monotonic() + options.connectTimeoutMs
  let broker: Starting | undefined
  for (;;) {
    // Looked at before the attempt, so that a broker which ended because another one runs is not mistaken for a failure.
    const ended = broker?.ended
    try {
      return amqpSession(await connect(folder, Math.max(1, deadline - systemClock.monotonic()), options))
    } catch (error) {
      if (!(error instanceof ConnectionError) || error.fatal) throw error
      if (ended) throw new ConnectionError(`The built-in broker of ${folder} ${ended}`, { cause: error, fatal: broker?.refused ?? false })
      if (broker?.needless) broker = undefined
      if (!maySpawn || options.signal.aborted || systemClock.monotonic() >= deadline) throw error
      broker ??= start(folder)
      await sleep(POLL_MS, { signal: options.signal }).catch((reason: unknown) => {
        throw new ConnectionError(`Connecting to the built-in broker of ${folder} was given up`, { cause: reason })
      })
    }
  }
}

async function connect(folder: string, connectTimeoutMs: number, options: OpenOptions): Promise<AmqpConnection> {
  const path = await socketOf(folder)
  return openAmqpConnection({
    target: { kind: 'unix', path },
    // The socket's permissions are what protects it.
    credentials: { username: 'guest', password: 'guest' },
    vhost: '/',
    clientProperties: clientProperties(options.name),
    connectTimeoutMs,
    heartbeatMs: options.heartbeatMs,
    signal: options.signal,
    handlers: options.handlers,
  })
}

async function socketOf(folder: string): Promise<string> {
  const file = join(folder, 'broker.json')
  try {
    const content: unknown = JSON.parse(await readFile(file, 'utf8'))
    const socket: unknown = typeof content === 'object' && content !== null ? Reflect.get(content, 'socket') : undefined
    if (typeof socket === 'string' && socket !== '') return socket
  } catch (cause) {
    throw new ConnectionError(`No built-in broker runs in ${folder}: ${messageOf(cause)}`, { cause })
  }
  throw new ConnectionError(`No built-in broker runs in ${folder}: ${file} names no socket`)
}

interface Starting {
  /** How it failed, if it has. */
  readonly ended: string | undefined
  /** It left the folder to another broker, which answers soon, or was just ending. */
  readonly needless: boolean
  readonly refused: boolean
}

/** Starts the folder's broker apart from this process; it ends by itself when its last client has left. */
function start(folder: string): Starting {
  const program = fileURLToPath(new URL(`../../cli/main${extname(import.meta.filename)}`, import.meta.url))
  const { NODE_OPTIONS: _ours, ...env } = process.env
  const child = spawn(process.execPath, [program, 'broker', '--data', folder, '--until-idle'], { detached: true, stdio: 'ignore', env })
  child.unref()
  let ended: string | undefined
  const seeWhy = `to see why, run: omnibus broker --data ${folder}`
  child.once('error', (error) => (ended = `could not be started: ${error.message}`))
  child.once('exit', (code, signal) => code !== 0 && (ended = `ended with ${signal ?? `code ${code}`} before it answered; ${seeWhy}`))
  return {
    get ended() {
      return ended
    },
    get needless() {
      return child.exitCode === 0
    },
    get refused() {
      return child.exitCode === EXIT_REFUSED
    },
  }
}

/** `omnibus:///absolute/folder?spawn=true|false` */
function addressOf(url: URL): { folder: string; spawn: boolean } {
  return readUrl("The built-in broker's URL", url, { spawn: truth(flag(true)) }, ({ query: { spawn }, host, path, refuse }) => {
    if (host !== '' || path === '') refuse('path', 'an absolute folder, as omnibus:///folder', show(host || path))
    return { folder: `/${path}`, spawn }
  })
}
