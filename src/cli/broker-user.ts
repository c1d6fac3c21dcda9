import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { Command } from 'commander'
import { ConfigError } from '../core/errors.ts'
import { EXIT } from '../supervisor/exit-codes.ts'

interface UserOptions {
  readonly data: string
}

/** `omnibus broker user`: who may connect from other machines. A running broker knows at once. */
export function brokerUser(finish: (code: number) => void): Command {
  const user = new Command('user').description('say who may connect over TCP from anywhere').exitOverride()
  const withData = (command: Command): Command => command.option('--data <folder>', "the broker's folder", '.omnibus')
  withData(user.command('add <name>'))
    .description('add a user, or change its password, which is read from standard input')
    .action(async (name: string, { data }: UserOptions) => finish(await add(resolve(data), name)))
  withData(user.command('remove <name>'))
    .description('remove a user; its connections stay until they end')
    .action(async (name: string, { data }: UserOptions) => {
      const { removeUser } = await import('../broker/index.ts')
      if (!removeUser(resolve(data), name)) throw refused('NAME', 'a user of this broker', name)
      finish(EXIT.stopped)
    })
  withData(user.command('list'))
    .description('print the names of users')
    .action(async ({ data }: UserOptions) => {
      const { userNames } = await import('../broker/index.ts')
      for (const name of userNames(resolve(data))) process.stdout.write(`${name}\n`)
      finish(EXIT.stopped)
    })
  return user
}

async function add(data: string, name: string): Promise<number> {
  if (name === '' || Buffer.byteLength(name) > 255) throw refused('NAME', '1 to 255 bytes', name)
  const password = (await text(process.stdin)).replace(/\r?\n$/, '')
  if (password === '' || password.includes('\0')) throw refused('standard input', 'a password in one line', 'none')
  const { prepareFolder, setUser } = await import('../broker/index.ts')
  prepareFolder(data)
  await setUser(data, name, password)
  return EXIT.stopped
}

const refused = (path: string, expected: string, got: string): ConfigError =>
  new ConfigError('omnibus broker user', [{ path, expected, got: JSON.stringify(got) }])
