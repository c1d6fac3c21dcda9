/** The format of the access log, Gunicorn's: `%(h)s` is an atom, `%({name}i)s` a header of the request, `%%` a percent sign. */
import { type Field, show } from '../core/options.ts'

/** Gunicorn's default. */
export const DEFAULT_FORMAT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'

/** Of what is `-` where there is none. */
const ATOMS = ['h', 'l', 'u', 't', 'r', 'm', 'U', 'q', 'H', 's', 'B', 'b', 'f', 'a', 'T', 'D', 'M', 'L', 'p'] as const
export type Atom = (typeof ATOMS)[number]

/** `i`: a header of the request; `o`: of the response; `e`: a variable of the environment. */
export type Piece = { readonly text: string } | { readonly atom: Atom } | { readonly from: 'i' | 'o' | 'e'; readonly name: string }

/** `unknown` hears of each part that is none of these. */
export function parseFormat(format: string, unknown: (part: string) => void = () => {}): readonly Piece[] {
  const pieces: Piece[] = []
  const pattern = /%%|%\(\{([^}]+)\}([ioe])\)s|%\(([A-Za-z])\)s|%(?:\([^)]*\)?)?.?|[^%]+/g
  for (const [part, name, from, atom] of format.matchAll(pattern)) {
    if (name !== undefined) pieces.push({ from: from as 'i' | 'o' | 'e', name })
    else if (isAtom(atom)) pieces.push({ atom })
    else if (part === '%%') pieces.push({ text: '%' })
    else if (part.startsWith('%')) unknown(part)
    else pieces.push({ text: part })
  }
  return pieces
}

/** Reads as the format itself, or as an empty text: no access log. */
export const accessLogFormat: Field<string> = {
  read(value, path, problems) {
    if (value === false || value === '') return ''
    if (value === true || value === '-') return DEFAULT_FORMAT
    if (typeof value !== 'string') {
      problems.push({ path, expected: 'true, false or a format such as "%(h)s %(r)s %(s)s"', got: show(value) })
      return undefined
    }
    const expected = `atoms written %(X)s, X one of ${ATOMS.join(' ')} {header}i {header}o {variable}e`
    parseFormat(value, (part) => problems.push({ path, expected, got: show(part) }))
    return value
  },
}

function isAtom(name: string | undefined): name is Atom {
  return (ATOMS as readonly (string | undefined)[]).includes(name)
}
