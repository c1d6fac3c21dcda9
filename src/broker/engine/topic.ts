/**
 * Whether a routing key fits a topic pattern: words between dots, `*` is one word, `#` any number, also none.
 * Only the last `#` is ever widened, so hostile patterns cost at most words × parts.
 */
export function matchesTopic(pattern: readonly string[], words: readonly string[]): boolean {
  let p = 0
  let w = 0
  let hash = -1
  let widened = 0
  while (w < words.length) {
    const part = pattern[p]
    if (part === '#') {
      hash = p++
      widened = w
    } else if (part !== undefined && (part === '*' || part === words[w])) {
      p++
      w++
    } else if (hash >= 0) {
      p = hash + 1
      w = ++widened
    } else return false
  }
  while (pattern[p] === '#') p++
  return p === pattern.length
}
