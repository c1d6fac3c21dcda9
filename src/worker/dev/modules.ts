/** What this process or thread has loaded of the user's, as the module system itself resolves it: ESM, CommonJS, `import()` and TypeScript alike. */
import { findPackageJSON, registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'

export interface Modules {
  /** Files loaded or looked for, in this order. */
  readonly files: ReadonlySet<string>
  /** The import that failed last: what a module that does not exist is blamed on. */
  readonly missing: { readonly specifier: string; readonly parent: string } | undefined
  /** A file that counts as loaded though it is no module. */
  add(file: string): void
  /** Reports now what would be reported in a moment. */
  flush(): void
}

/** Our own files, in the sources as in the build. */
const OWN = new URL('../../', import.meta.url).href
/** What CommonJS tries for a path without an extension. */
const TRIED = ['', '.js', '.json', '.cjs', '/index.js']

/** From now on `report` is given what is loaded, in batches; `at` is when the first of a batch was resolved, since 1970. Milliseconds. */
export function reportModules(report: (files: readonly string[], at: number) => void): Modules {
  const files = new Set<string>()
  let batch: string[] = []
  let begun = 0
  let missing: Modules['missing']

  const flush = (): void => {
    if (batch.length > 0) report(batch, begun)
    batch = []
  }
  const add = (file: string): void => {
    if (files.has(file)) return
    files.add(file)
    if (batch.length === 0) {
      begun = Date.now()
      queueMicrotask(flush)
    }
    batch.push(file)
  }
  const addUrl = (url: string | undefined): void => {
    if (url?.startsWith('file:') && !url.includes('/node_modules/') && !url.startsWith(OWN)) add(fileURLToPath(url))
  }

  registerHooks({
    resolve(specifier, context, next) {
      const { parentURL } = context
      // What was asked for may be a link to what is loaded, and may lead elsewhere tomorrow.
      const asked =
        /^(?:\.{0,2}\/|file:)/.test(specifier) && URL.canParse(specifier, parentURL) ? new URL(specifier, parentURL).href : undefined
      try {
        const resolved = next(specifier, context)
        addUrl(resolved.url)
        if (asked !== undefined && !asked.endsWith('/')) addUrl(asked.replace(/[?#].*/, ''))
        return resolved
      } catch (error) {
        if (parentURL?.startsWith('file:') && !parentURL.startsWith(OWN)) missing = { specifier, parent: fileURLToPath(parentURL) }
        if (asked !== undefined) for (const ending of TRIED) addUrl(`${asked}${ending}`)
        // Installing it changes the package's own file, last of all.
        else if (parentURL?.startsWith('file:')) addPackage(parentURL)
        throw error
      }
    },
  })

  function addPackage(parentURL: string): void {
    const found = findPackageJSON('.', parentURL)
    if (found !== undefined) add(found)
  }

  return {
    files,
    get missing() {
      return missing
    },
    add,
    flush,
  }
}
