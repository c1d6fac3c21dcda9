/** `.omnibus/master-*.json` beside the config tells commands where the control socket of a running master is. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'

export interface MasterAnnouncement {
  readonly socket: string
  readonly pid: number
  /** Containers that share the folder are hosts of their own, and see neither each other's sockets nor pids. */
  readonly host: string
  /** The config file, absolute; absent where there is none. */
  readonly file?: string
}

/** Beside the built-in broker's default folder, or in it. */
const FOLDER = '.omnibus'
const FILE = /^master-\w+\.json$/
const PREFIX = 'omnibus-'
const SOCKET = 'master.sock'
/** Longest path of a unix socket (`sun_path` of unix(7), without its final zero). Bytes. */
const SOCKET_PATH_MAX = 107

/** A fresh private folder (mkdtemp makes it 0700) short enough for a socket in it. Returns the socket's path. */
export function makeControlPath(base: string | undefined = process.env['XDG_RUNTIME_DIR']): string {
  const candidates = [base ?? '', tmpdir(), '/tmp'].filter((folder) => folder !== '' && existsSync(folder))
  for (const folder of candidates) {
    if (Buffer.byteLength(join(folder, `${PREFIX}XXXXXX`, SOCKET)) > SOCKET_PATH_MAX) continue
    try {
      return join(mkdtempSync(join(folder, PREFIX)), SOCKET)
    } catch {
      // Not writable: the next one may be.
    }
  }
  throw new Error(`none of ${candidates.join(', ')} is writable and short enough for a socket`)
}

/** `root` is the config's folder. A master has a file of its own, since `serve` and `work` may run side by side. */
export function announceMaster(root: string, announcement: MasterAnnouncement): void {
  const folder = join(root, FOLDER)
  if (mkdirSync(folder, { recursive: true, mode: 0o700 }) !== undefined) chmodSync(folder, 0o700)
  const path = fileOf(root, announcement.socket)
  const temporary = `${path}.tmp`
  writeFileSync(temporary, `${JSON.stringify(announcement)}\n`, { mode: 0o600 })
  renameSync(temporary, path)
}

/** Of this host, the dead ones too. */
export function announcedMasters(root: string): MasterAnnouncement[] {
  let names: string[] = []
  try {
    names = readdirSync(join(root, FOLDER)).filter((name) => FILE.test(name))
  } catch {
    // No such folder: nobody was here.
  }
  return names.flatMap((name) => read(join(root, FOLDER, name)) ?? []).filter(({ host }) => host === hostname())
}

/** Removes the announcement and the socket with its folder. */
export function withdrawMaster(root: string, socket: string): void {
  rmSync(fileOf(root, socket), { force: true })
  const folder = dirname(socket)
  // The file could have been edited: nothing but a folder of our own making is ever removed.
  if (basename(socket) !== SOCKET || !basename(folder).startsWith(PREFIX)) return
  rmSync(socket, { force: true })
  try {
    rmdirSync(folder)
  } catch {
    // Gone already, or somebody else's files are in it.
  }
}

/** Named after the socket's folder, whose name is random: pids of two containers may be the same. */
function fileOf(root: string, socket: string): string {
  return join(root, FOLDER, `master-${basename(dirname(socket)).slice(PREFIX.length)}.json`)
}

function read(path: string): MasterAnnouncement | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return isAnnouncement(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isAnnouncement(value: unknown): value is MasterAnnouncement {
  if (typeof value !== 'object' || value === null) return false
  const { socket, pid, host, file } = { ...value } as { readonly [key: string]: unknown }
  return typeof socket === 'string' && typeof pid === 'number' && typeof host === 'string' && ['string', 'undefined'].includes(typeof file)
}
