/** Keeps JSON from changing what all objects inherit, in code that copies what it read without care. */

/** A letter or `_` that JSON need not escape, and that could hide a name. Python escapes everything beyond ASCII, so a mere `\u` says little. */
const ESCAPED_LETTER = /\\u00[4-7]/

/** Whether a JSON text may hold such names, spelled out or escaped: a reviver costs several times the parse. */
export function mayHoldPrototype(source: string): boolean {
  return source.includes('__proto__') || source.includes('"prototype"') || (source.includes('\\u00') && ESCAPED_LETTER.test(source))
}

/**
 * A reviver. `__proto__` as a plain key would become a prototype at the first Object.assign, and `constructor.prototype`
 * would lead a deep merge to the prototype of all objects.
 */
export function withoutPrototype(key: string, value: unknown): unknown {
  if (key === '__proto__') return undefined
  if (key === 'constructor' && typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype')) return undefined
  return value
}
