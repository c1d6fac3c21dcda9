/** `broker.json` in the data folder tells clients where the owner's socket is. */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'

export interface Announcement {
  readonly socket: string
  readonly pid: number
  /** Where it also listens on TCP, as `host:port`. */
  readonly listen?: string
  /** The socket that tells the broker's statistics. */
  readonly inspect?: string
}

const PREFIX = 'omnibus-'
const FILE = 'broker.json'
/** Longest path of a unix socket (`sun_path` of unix(7), without its final zero). Bytes. */
const SOCKET_PATH_MAX = 107

/** A fresh private folder (mkdtemp makes it 0700) short enough for a socket in it. Returns the socket's path. */
export function makeSocketPath(base: string | undefined = process.env['XDG_RUNTIME_DIR']): string {
  const candidates = [base ?? '', tmpdir(), '/tmp'].filter((folder) => folder !== '' && existsSync(folder))
  for (const folder of candidates) {
    if (Buffer.byteLength(join(folder, `${PREFIX}XXXXXX`, 'amqp.sock')) > SOCKET_PATH_MAX) continue
    try {
      return join(mkdtempSync(join(folder, PREFIX)), 'amqp.sock')
    } catch {
      // Not writable: the next one may be.
    }
  }
  throw new Error(`no folder for the broker's socket: none of ${candidates.join(', ')} is writable and short enough`)
}

/** Beside the one for clients, in the same private folder, so that it needs no announcing to be removed. */
export const inspectSocketOf = (socket: string): string => join(dirname(socket), 'info.sock')

/** Removes what a former owner left, whose socket is dead. Only for the holder of the lock. */
export function removeFormer(data: string): void {
  const former = readAnnouncement(data)
  if (former) removeSocket(former.socket)
  rmSync(join(data, FILE), { force: true })
}

/** Whole or not at all: readers never see a part. */
export function announce(data: string, announcement: Announcement): void {
  const path = join(data, FILE)
  const temporary = `${path}.${process.pid}.tmp`
  writeFileSync(temporary, `${JSON.stringify(announcement)}\n`, { mode: 0o600 })
  renameSync(temporary, path)
}

export function readAnnouncement(data: string): Announcement | undefined {
  try {
    const read: unknown = JSON.parse(readFileSync(join(data, FILE), 'utf8'))
    return isAnnouncement(read) ? read : undefined
  } catch {
    return undefined
  }
}

function removeSocket(socket: string): void {
  const folder = dirname(socket)
  // The file could have been edited: nothing but a folder of our own making is ever removed.
  if (basename(socket) === 'amqp.sock' && basename(folder).startsWith(PREFIX)) {
    rmSync(socket, { force: true })
    rmSync(inspectSocketOf(socket), { force: true })
    try {
      rmdirSync(folder)
    } catch {
      // Gone already, or somebody else's files are in it.
    }
  }
}

function isAnnouncement(value: unknown): value is Announcement {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof Reflect.get(value, 'socket') === 'string' &&
    typeof Reflect.get(value, 'pid') === 'number' &&
    ['string', 'undefined'].includes(typeof Reflect.get(value, 'inspect'))
  )
}

/** Takes the announcement back and removes the socket with its folder. */
export function withdraw(data: string, socket: string): void {
  if (readAnnouncement(data)?.socket === socket) rmSync(join(data, FILE), { force: true })
  removeSocket(socket)
}
