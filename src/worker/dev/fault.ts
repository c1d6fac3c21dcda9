/** An error as its author wants to see it: where in the sources it happened, and what stands there. */
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'
import { ConfigError, messageOf, WorkerError } from '../../core/errors.ts'
import { redactText } from '../../core/redact.ts'
import type { Fault } from '../../supervisor/protocol.ts'
import type { Modules } from './modules.ts'

type Place = NonNullable<Fault['place']>

/** Lines shown around the one at fault, on either side. */
const AROUND = 3
const FRAMES = 8
/** What nobody has written by hand may have very long lines. */
const COLUMNS = 200
/** Of the files that may hold a syntax error nobody can place: the newest, since one of them was edited last. */
const CHECKED = 8
const CHECK_MS = 2_000

const OWN = fileURLToPath(new URL('../../', import.meta.url))

/** Blocks: it is for a process that is about to end. */
export function describeFault(thrown: unknown, modules: Pick<Modules, 'files' | 'missing'>): Fault {
  const error = rootOf(thrown)
  if (!(error instanceof Error)) return { name: typeof error, message: redactText(messageOf(error)), stack: [] }
  const stack = framesOf(error.stack ?? '')
  const place = placeAbove(error.stack ?? '') ?? importOf(error, modules) ?? syntaxOf(error, modules) ?? stack[0]
  const source = place && sourceAround(place)
  return {
    name: error.name,
    message: redactText(error.message),
    ...(place && { place }),
    ...(source && { source }),
    stack: stack.map(({ text }) => text),
  }
}

/** What the user's code threw, below what the hosts say about it. */
function rootOf(error: unknown): unknown {
  const isOurs = error instanceof WorkerError || error instanceof ConfigError
  return isOurs && error.cause instanceof Error && Reflect.get(error.cause, 'syscall') === undefined ? rootOf(error.cause) : error
}

/** `file:///path:3` above the source and a caret, as Node puts it before the stack of most syntax errors. */
function placeAbove(stack: string): Place | undefined {
  const [head = '', ...rest] = stack.trimStart().split('\n')
  const [, file, line] = /^(file:.*|\/.*):(\d+)$/.exec(head) ?? []
  if (file === undefined) return undefined
  const caret = rest.find((text) => /^ *\^+$/.test(text))
  return { file: asPath(file), line: Number(line), ...(caret !== undefined && { column: caret.indexOf('^') + 1 }) }
}

/** Frames in the user's own files, the innermost first. */
function framesOf(stack: string): (Place & { readonly text: string })[] {
  return [...stack.matchAll(/^ +at (?:(.*) \()?((?:file:\/\/)?\/[^)]*?):(\d+):(\d+)\)?$/gm)]
    .map(([, name, file = '', line, column]) => {
      const path = asPath(file)
      return {
        file: path,
        line: Number(line),
        column: Number(column),
        text: `${name === undefined ? '' : `${name} `}${path}:${line}:${column}`,
      }
    })
    .filter(({ file }) => !file.includes('/node_modules/') && !file.startsWith(OWN))
    .slice(0, FRAMES)
}

/** The import of a module that is not there. */
function importOf(error: Error, { missing }: Pick<Modules, 'missing'>): Place | undefined {
  if (missing === undefined || !['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'].includes(String(Reflect.get(error, 'code')))) return undefined
  const lines = linesOf(missing.parent)
  const quoted = ["'", '"', '`'].map((quote) => `${quote}${missing.specifier}${quote}`)
  const index = lines.findIndex((line) => quoted.some((text) => line.includes(text)))
  const line = lines[index]
  if (line === undefined) return { file: missing.parent, line: 1 }
  return { file: missing.parent, line: index + 1, column: Math.max(...quoted.map((text) => line.indexOf(text))) + 1 }
}

/** Node does not say where an ES module's syntax error is unless it prints it, so it is made to; nothing is run. */
function syntaxOf(error: Error, { files }: Pick<Modules, 'files'>): Place | undefined {
  if (!(error instanceof SyntaxError) || !error.stack?.includes('compileSourceTextModule')) return undefined
  const age = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0
  const suspects = [...files].filter((file) => /\.[cm]?[jt]s$/.test(file) && age(file) > 0).toSorted((a, b) => age(b) - age(a))
  for (const file of suspects.slice(0, CHECKED)) {
    const found = placeAbove(check(file))
    // Standard input has no name of its own.
    if (found) return { ...found, file }
  }
  return undefined
}

function check(file: string): string {
  const source = readFileSync(file, 'utf8')
  try {
    const input = /\.[cm]?ts$/.test(file) ? stripTypeScriptTypes(source) : source
    const { stderr } = spawnSync(process.execPath, ['--check', '--input-type=module', '-'], { input, encoding: 'utf8', timeout: CHECK_MS })
    return stderr.replace(/^\[stdin\]/, file)
  } catch (error) {
    return error instanceof Error ? (error.stack ?? '') : ''
  }
}

function sourceAround({ file, line }: Place): Fault['source'] {
  const first = Math.max(1, line - AROUND)
  const lines = linesOf(file).slice(first - 1, line + AROUND)
  return lines.length === 0 ? undefined : { first, lines: lines.map((text) => redactText(text.trimEnd().slice(0, COLUMNS))) }
}

function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, 'utf8').replace(/\n$/, '').split('\n')
  } catch {
    return []
  }
}

const asPath = (file: string): string => (file.startsWith('file:') ? fileURLToPath(file) : file)
