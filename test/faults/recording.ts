/** What a process did to the files of a folder, call by call: recorded by strace, to be played again up to any point. */
import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { runToEnd } from '../support/process.ts'
import { tempDir } from '../support/run-folder.ts'

/** `name` is a file of the folder, or `''` for the folder itself. */
export type Call = { readonly name: string } & (
  | { readonly type: 'create' | 'remove' }
  | { readonly type: 'rename'; readonly to: string }
  /** Without `at`, behind what is there. */
  | { readonly type: 'write'; readonly data: Buffer; readonly at: number | undefined }
  | { readonly type: 'truncate'; readonly size: number }
  | { readonly type: 'sync'; readonly failed: boolean }
)

const TRACED = 'trace=openat,pwrite64,write,fsync,fdatasync,ftruncate,unlink,rename'

/** Runs it to its end, with an action of strace at a system call if asked, such as `fsync:error=EIO:when=3`. */
export async function record(folder: string, command: readonly string[], injected?: string): Promise<{ calls: Call[]; output: string }> {
  const trace = join(tempDir('trace'), 'calls')
  // Its main thread alone, which is the one that touches the store: so no call is cut in two by another's.
  const args = [
    '-qq',
    '-y',
    '-xx',
    '-s',
    '1000000',
    '-o',
    trace,
    '-e',
    TRACED,
    ...(injected === undefined ? [] : ['-e', `inject=${injected}`]),
  ]
  const { output } = await runToEnd('strace', [...args, ...command])
  return {
    calls: readFileSync(trace, 'latin1')
      .split('\n')
      .flatMap((line) => callOf(line, folder)),
    output,
  }
}

const unescape = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex')

function callOf(line: string, folder: string): Call[] {
  const [, call = '', args = '', result = ''] = /^(\w+)\((.*)\) += (-?\d+)/.exec(line) ?? []
  const failed = result.startsWith('-')
  if (failed && call !== 'fsync' && call !== 'fdatasync') return []
  const strings = [...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, text = '']) => unescape(text))
  // A descriptor comes with its path.
  const path =
    args.startsWith('"') || call === 'openat' ? strings[0]?.toString() : unescape(/^\d+<([^>]*)>/.exec(args)?.[1] ?? '').toString()
  if (path === undefined || (path !== folder && dirname(path) !== folder)) return []
  const name = path === folder ? '' : basename(path)
  const numbers = args.match(/-?\d+(?=,|$)/g)?.map(Number) ?? []
  switch (call) {
    case 'openat':
      return args.includes('O_CREAT') ? [{ type: 'create', name }] : []
    case 'pwrite64':
      return [{ type: 'write', name, data: strings[0]!, at: numbers.at(-1) }]
    case 'write':
      return [{ type: 'write', name, data: strings[0]!, at: undefined }]
    case 'ftruncate':
      return [{ type: 'truncate', name, size: numbers.at(-1)! }]
    case 'unlink':
      return [{ type: 'remove', name }]
    case 'rename':
      return [{ type: 'rename', name, to: basename(strings[1]!.toString()) }]
    default:
      return [{ type: 'sync', name, failed }]
  }
}
