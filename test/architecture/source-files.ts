/** Reads what the sources import, as far as the house's formatting allows to read it without a compiler. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative } from 'node:path'

export interface Import {
  readonly specifier: string
  /** Gone after compilation. */
  readonly typeOnly: boolean
  /** `import()`, which loads when it is reached. */
  readonly lazy: boolean
}

export interface SourceFile {
  /** From the repository's root, with slashes: `src/core/clock.ts`. */
  readonly path: string
  /** Without comments. */
  readonly code: string
  readonly imports: readonly Import[]
  /** `import()` of something computed: only who may load users' code has one. */
  readonly loadsPaths: boolean
}

export const root = dirname(dirname(import.meta.dirname))

/** What is written by hand, in any language. */
export const WRITTEN = /\.(?:tsx?|m?js|css|html|py)$/

export function sourceFiles(...folders: string[]): SourceFile[] {
  return filesIn(/\.tsx?$/, ...folders).map((path) => readSource(path, readFileSync(join(root, path), 'utf8')))
}

export function filesIn(pattern: RegExp, ...folders: string[]): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && pattern.test(entry.name))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
      .filter((path) => !path.includes('node_modules/'))
      .toSorted(),
  )
}

export const linesOf = (path: string): number => readFileSync(join(root, path), 'utf8').split('\n').length - 1

export function readSource(path: string, text: string): SourceFile {
  const code = withoutComments(text)
  return { path, code, ...importsOf(code) }
}

/** The repository's path of a relative import, or the specifier itself for packages and built-ins. */
export const resolveImport = (from: string, specifier: string): string =>
  specifier.startsWith('.') ? posix.normalize(posix.join(posix.dirname(from), specifier)) : specifier

/** Comments become spaces; strings and line numbers stay. */
function withoutComments(text: string): string {
  // Strings come first, so that a // inside one is no comment.
  return text.replace(/'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[^]*?\*\/|\/\/[^\n]*/g, (piece) =>
    piece.startsWith('/') ? piece.replace(/[^\n]/g, ' ') : piece,
  )
}

function importsOf(code: string): Pick<SourceFile, 'imports' | 'loadsPaths'> {
  const imports: Import[] = []
  for (const [, clause = '', specifier = ''] of code.matchAll(/^(?:import|export)\b([^'"`;]*?)\bfrom\s*'([^']+)'/gm))
    imports.push({ specifier, typeOnly: isTypeOnly(clause), lazy: false })
  for (const [, specifier = ''] of code.matchAll(/^import\s*'([^']+)'/gm)) imports.push({ specifier, typeOnly: false, lazy: false })
  // In a type position import('x') is always followed by .Name; a promise only ever by .then or the like.
  for (const [, specifier = '', member] of code.matchAll(/\bimport\(\s*'([^']+)'\s*\)(?:\.([A-Z]))?/g))
    imports.push({ specifier, typeOnly: member !== undefined, lazy: true })
  return { imports, loadsPaths: /\bimport\(\s*[^'\s)]/.test(code) || /\brequire\(\s*[^'\s)]/.test(code) }
}

function isTypeOnly(clause: string): boolean {
  if (/^\s*type\b(?!\s*,)/.test(clause)) return true
  const names = /^\s*\{([^]*)\}\s*$/.exec(clause)?.[1]
  return names !== undefined && names.trim() !== '' && names.split(',').every((name) => /^\s*(type\s|$)/.test(name))
}
