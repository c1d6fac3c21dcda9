/** A JSON text opens more than `limit` objects and lists within one another. */
export function nestsDeeper(source: string, limit: number): boolean {
  // Most texts hold fewer brackets than that altogether, and native searches tell it far sooner than a look at each character.
  if (holdsAtMost(source, '{', limit >> 1) && holdsAtMost(source, '[', limit >> 1)) return false
  let depth = 0
  let inText = false
  for (let i = 0; i < source.length; i++) {
    const code = source.charCodeAt(i)
    if (inText) {
      if (code === BACKSLASH) i++
      else if (code === QUOTE) inText = false
    } else if (code === QUOTE) inText = true
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      if (++depth > limit) return true
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--
  }
  return false
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

function holdsAtMost(source: string, character: string, most: number): boolean {
  let at = -1
  for (let found = 0; found <= most; found++) {
    at = source.indexOf(character, at + 1)
    if (at < 0) return true
  }
  return false
}
