/** The page of faults: one file without scripts or styles from elsewhere, light and dark. Everything in it is escaped. */
import { relative } from 'node:path'
import type { UnitFault } from '../../supervisor/protocol.ts'

export interface PageOptions {
  /** Of these faults; the page reloads itself when `statePath` tells another one. */
  readonly id: string
  readonly statePath: string
  /** Of the content security policy. */
  readonly nonce: string
  /** Paths are shown as seen from here. */
  readonly root: string
}

const STYLE = `
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #fff; --ink: #1d1b19; --soft: #6f6a64; --line: #e6e1da; --red: #c22f2f; --mark: #fdeeec; --bar: #d9483b; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #161514; --card: #1f1e1c; --ink: #ece8e2; --soft: #9b948b; --line: #34312d; --red: #ff8a7a; --mark: #3a2220; --bar: #ff6b57; }
}
* { box-sizing: border-box; margin: 0; }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 ui-sans-serif, system-ui, sans-serif; padding: clamp(1rem, 5vw, 4rem) clamp(.75rem, 4vw, 2rem); }
main { max-width: 60rem; margin: 0 auto; }
article { background: var(--card); border: 1px solid var(--line); border-top: 4px solid var(--bar); border-radius: 10px; box-shadow: 0 1px 2px #0000000d, 0 12px 32px #00000012; overflow: hidden; margin-bottom: 1.5rem; }
header { padding: 1.5rem 1.75rem 1.25rem; }
.unit { color: var(--soft); font-size: .875rem; }
.unit b { color: var(--ink); font-weight: 600; }
h1 { font-size: 1.25rem; line-height: 1.4; font-weight: 600; margin-top: .35rem; overflow-wrap: anywhere; white-space: pre-wrap; }
h1 span { color: var(--red); }
code, pre, .place { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: .84375rem; }
.place { color: var(--soft); margin-top: .75rem; overflow-wrap: anywhere; }
pre { line-height: 1.65; padding: .75rem 0; border-top: 1px solid var(--line); overflow-x: auto; tab-size: 2; }
pre div { display: block; width: max-content; min-width: 100%; padding-right: 1.75rem; border-left: 3px solid transparent; }
pre i { display: inline-block; width: 4.25rem; padding-right: 1.25rem; text-align: right; color: var(--soft); font-style: normal; user-select: none; }
pre .at { background: var(--mark); border-left-color: var(--bar); }
pre .at i, pre .caret { color: var(--red); }
details { border-top: 1px solid var(--line); padding: .85rem 1.75rem; }
summary { cursor: pointer; color: var(--soft); font-size: .875rem; }
ol { list-style: none; padding: .6rem 0 .25rem; }
li { overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: .875rem; padding: 0 .25rem; }
`

export function renderPage(faults: readonly UnitFault[], { id, statePath, nonce, root }: PageOptions): string {
  const [first] = faults
  const title = first === undefined ? 'omnibus dev' : `${first.name}: ${first.message.split('\n')[0] ?? ''}`
  const script = `
    const shown = ${JSON.stringify(id)}
    const look = async () => {
      try {
        const answer = await fetch(${JSON.stringify(statePath)}, { cache: 'no-store' })
        if (!answer.ok || (await answer.json()).id !== shown) return location.reload()
      } catch {}
      setTimeout(look, 300)
    }
    setTimeout(look, 300)`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style nonce="${nonce}">${STYLE}</style>
</head>
<body>
<main>
${faults.map((fault) => article(fault, root)).join('\n')}
<footer>This page reloads itself as soon as the code loads. Until then all other requests reach what ran before, if anything did.</footer>
</main>
<script nonce="${nonce}">${script}
</script>
</body>
</html>
`
}

function article({ unit, name, message, place, source, stack }: UnitFault, root: string): string {
  const shorten = (path: string): string => (path.startsWith(`${root}/`) ? relative(root, path) : path)
  const where = place && `${shorten(place.file)}:${place.line}${place.column === undefined ? '' : `:${place.column}`}`
  return `<article>
<header>
<p class="unit"><b>${escape(unit)}</b> does not load</p>
<h1><span>${escape(name)}</span>: ${escape(message)}</h1>
${where === undefined ? '' : `<p class="place">${escape(where)}</p>`}
</header>
${place && source ? excerpt(source, place) : ''}
${stack.length < 2 ? '' : `<details><summary>Stack</summary><ol>${stack.map((frame) => `<li><code>${escape(frame.replaceAll(`${root}/`, ''))}</code></li>`).join('')}</ol></details>`}
</article>`
}

function excerpt({ first, lines }: NonNullable<UnitFault['source']>, { line, column }: NonNullable<UnitFault['place']>): string {
  const rows = lines.map((text, index) => {
    const number = first + index
    const row = `<div${number === line ? ' class="at"' : ''}><i>${number}</i>${escape(text)}</div>`
    // Under the tabs of the line itself, so that it stands where it should.
    const caret = `<div class="at"><i></i>${escape(text.slice(0, (column ?? 1) - 1).replaceAll(/[^\t]/g, ' '))}<span class="caret">^</span></div>`
    return number === line && column !== undefined ? row + caret : row
  })
  return `<pre>${rows.join('')}</pre>`
}

function escape(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
  return text.replaceAll(/[&<>"']/g, (character) => entities[character] ?? character)
}
