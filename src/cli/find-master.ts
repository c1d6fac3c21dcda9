/** Which running master a command is for. */
import { statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { ConfigError } from '../core/errors.ts'
import type { MasterAnnouncement } from '../supervisor/announcement.ts'
import type { ControlReply, ControlRequest } from '../supervisor/control-protocol.ts'
import { EXIT } from '../supervisor/exit-codes.ts'

export interface MasterFlags {
  readonly config?: string
  readonly pid?: number
}

/** The master refused: all goes on as before. */
export const REFUSED = 1

export function withMasterFlags(command: Command): Command {
  return command
    .option('-c, --config <path>', 'config file of the master, or its folder (default: the working directory)')
    .option('--pid <pid>', 'which one, where several run there', (value) => {
      if (!/^[1-9]\d*$/.test(value)) throw new InvalidArgumentError('It must be the pid of a master.')
      return Number(value)
    })
}

/** Asks the master the flags name. Where it cannot be had it says so and returns an exit code. */
export async function ask(flags: MasterFlags, request: ControlRequest): Promise<ControlReply | number> {
  let answer: ControlReply | undefined
  const code = await follow(flags, request, async (reply) => {
    answer = reply
    return EXIT.stopped
  })
  return answer ?? code
}

/** The same for a request with many replies, until one comes to an exit code. That of a master that ends is 0 once it has replied. */
export async function follow(
  flags: MasterFlags,
  request: ControlRequest,
  onReply: (reply: ControlReply) => Promise<number | undefined>,
): Promise<number> {
  const { followMaster } = await import('../supervisor/control-client.ts')
  const master = await findMaster(flags)
  let replied = false
  if (master) {
    for await (const reply of followMaster(master.socket, request)) {
      replied = true
      const code = await onReply(reply)
      if (code !== undefined) return code
    }
  }
  if (replied) return EXIT.stopped
  process.stderr.write(
    master
      ? `The master ${master.pid} ended before it answered\n`
      : `No master${flags.pid === undefined ? '' : ` ${flags.pid}`} runs ${placeOf(flags).named}; omnibus serve or work starts one, and --config names another's config\n`,
  )
  return EXIT.unitFailed
}

/** Undefined where none answers. Throws `ConfigError` where several do, or there is no such folder. */
async function findMaster(flags: MasterFlags): Promise<MasterAnnouncement | undefined> {
  const { announcedMasters } = await import('../supervisor/announcement.ts')
  const { masterAnswers } = await import('../supervisor/control-client.ts')
  const { root, file } = placeOf(flags)
  const fitting = announcedMasters(root).filter(
    (master) => (file === undefined || master.file === file) && (flags.pid === undefined || master.pid === flags.pid),
  )
  const answering = await Promise.all(fitting.map(({ socket }) => masterAnswers(socket)))
  const living = fitting.filter((_, index) => answering[index])
  if (living.length < 2) return living[0]
  const got = living.map((master) => `${master.pid} (${master.file ?? 'no config file'})`).join(', ')
  throw new ConfigError('omnibus', [{ path: '--pid', expected: 'which of several masters', got }])
}

function placeOf({ config }: MasterFlags): { readonly root: string; readonly file?: string; readonly named: string } {
  if (config === undefined) return { root: process.cwd(), named: `with a config in ${process.cwd()}` }
  const path = resolve(config)
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) throw new ConfigError('omnibus', [{ path: '--config', expected: 'an existing file or folder', got: path }])
  return found.isFile() ? { root: dirname(path), file: path, named: `with ${path}` } : { root: path, named: `with a config in ${path}` }
}
