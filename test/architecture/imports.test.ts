import { describe, expect, test } from 'vitest'
import { pureBuiltins, rooms } from './import-table.ts'
import { filesIn, linesOf, readSource, resolveImport, sourceFiles, WRITTEN, type Import, type SourceFile } from './source-files.ts'

const product = sourceFiles('src', 'examples', 'bench')

const names = Object.keys(rooms).toSorted((a, b) => b.length - a.length)
const covers = (place: string, path: string): boolean => (place.endsWith('/') ? path.startsWith(place) : path === place)
const roomOf = (path: string): string | undefined => names.find((name) => covers(name, path))

/** Examples are rooms of their own: none may reach into another. */
function home(path: string): string {
  const example = /^examples\/[^/]+\//.exec(path)
  return example?.[0] ?? roomOf(path) ?? path
}

function isAllowed(file: SourceFile, { specifier, typeOnly }: Import): boolean {
  const room = rooms[roomOf(file.path) ?? '']
  if (room === undefined) return false
  const target = resolveImport(file.path, specifier)
  if (specifier.startsWith('node:')) {
    return room.builtins === 'any' || pureBuiltins.includes(specifier) || (room.builtins ?? []).includes(specifier)
  }
  if (!specifier.startsWith('.')) {
    const name = /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier
    return room.packages === 'any' || (room.packages ?? []).includes(name)
  }
  if (covers(home(file.path), target)) return true
  const places = typeOnly ? [...room.values, ...(room.types ?? [])] : room.values
  return places.some((place) => covers(place, target))
}

const violations = (files: readonly SourceFile[]): string[] =>
  files.flatMap((file) => file.imports.filter((item) => !isAllowed(file, item)).map((item) => `${file.path} imports ${item.specifier}`))

describe('the import table', () => {
  test('knows every file', () => {
    expect(product.filter((file) => roomOf(file.path) === undefined).map((file) => file.path)).toEqual([])
  })

  test('is held', () => {
    expect(product.length).toBeGreaterThan(20)
    expect(violations(product)).toEqual([])
  })

  test.each([
    ['src/core/link.ts', `import net from 'node:net'`],
    ['src/core/link.ts', `import { a } from '../bus/event.ts'`],
    ['src/config/load.ts', `import { type A, b } from '../bus/event.ts'`],
    ['src/supervisor/master.ts', `export { a } from '../transports/amqp/session.ts'`],
    ['src/supervisor/master.ts', `const { a } = await import('../bus/event.ts')`],
    ['src/transports/amqp/session.ts', `import {\n  a,\n  b,\n} from '../memory/session.ts'`],
    ['src/bus/event.ts', `import 'commander'`],
    ['examples/video/web.ts', `import { connect } from '../../src/index.ts'`],
    ['examples/video/web.ts', `import type { A } from '../event-bus/app.ts'`],
  ])('would catch %s: %s', (path, code) => {
    expect(violations([readSource(path, code)])).toHaveLength(1)
  })

  test.each([
    ['src/config/load.ts', `import { type A, type B } from '../bus/event.ts'`],
    ['src/config/load.ts', `let a: import('../bus/event.ts').Event`],
    ['src/core/link.ts', `// import net from 'node:net'\nimport { inspect } from 'node:util'`],
    ['examples/video/web.ts', `import { connect } from 'omnibus'`],
  ])('lets pass %s: %s', (path, code) => {
    const file = readSource(path, code)
    expect(file.imports).toHaveLength(1)
    expect(violations([file])).toEqual([])
  })
})

test('rooms do not depend on each other in circles', () => {
  const edges = new Map<string, Set<string>>()
  for (const file of product.filter(({ path }) => path.startsWith('src/'))) {
    for (const { specifier } of file.imports) {
      if (!specifier.startsWith('.')) continue
      const [from, to] = [home(file.path), home(resolveImport(file.path, specifier))]
      if (from !== to) edges.set(from, (edges.get(from) ?? new Set()).add(to))
    }
  }
  expect(circleIn(edges)).toBeUndefined()
})

test('core reads the time and sets timers through its clock alone, and knows neither process nor console', () => {
  const impure = /\b(?:process\.|console\.|performance\.now|Date\.now|new Date\(\)|set(?:Timeout|Interval|Immediate)\()/
  const found = product
    .filter(({ path }) => path.startsWith('src/core/') && path !== 'src/core/clock.ts')
    .flatMap(({ path, code }) => code.split('\n').flatMap((line, at) => (impure.test(line) ? [`${path}:${at + 1} ${line.trim()}`] : [])))
  expect(found).toEqual([])
})

test('only the hosts, the config loader and the command load what a path names', () => {
  const may = ['src/worker/', 'src/config/', 'src/cli/']
  const found = product.filter(({ path, loadsPaths }) => path.startsWith('src/') && loadsPaths && !may.some((place) => covers(place, path)))
  expect(found.map(({ path }) => path)).toEqual([])
})

test('the table of transports and the command load others lazily', () => {
  const eager = product
    .filter(({ path }) => path === 'src/transports/table.ts' || path === 'src/cli/main.ts')
    .flatMap((file) =>
      file.imports
        .filter(({ typeOnly, lazy }) => !typeOnly && !lazy)
        .map(({ specifier }) => resolveImport(file.path, specifier))
        .filter((target) => /^src\/(?:transports\/[^/]+\/|broker\/|worker\/|supervisor\/)/.test(target))
        .map((target) => `${file.path} imports ${target}`),
    )
  expect(eager).toEqual([])
})

test('no file has more than 400 lines', () => {
  const files = filesIn(WRITTEN, 'src', 'examples', 'bench', 'test', 'scripts')
  expect(files.length).toBeGreaterThan(product.length)
  expect(files.filter((path) => linesOf(path) > 400)).toEqual([])
})

function circleIn(edges: ReadonlyMap<string, ReadonlySet<string>>): string | undefined {
  const done = new Set<string>()
  const visit = (at: string, path: readonly string[]): string | undefined => {
    if (path.includes(at)) return [...path.slice(path.indexOf(at)), at].join(' -> ')
    if (done.has(at)) return undefined
    for (const next of edges.get(at) ?? []) {
      const circle = visit(next, [...path, at])
      if (circle !== undefined) return circle
    }
    done.add(at)
    return undefined
  }
  for (const start of edges.keys()) {
    const circle = visit(start, [])
    if (circle !== undefined) return circle
  }
  return undefined
}
