/** JSON that tries to change what all objects inherit, and the careless code it hopes for. */
import fc from 'fast-check'

class Raw {
  readonly json: string
  constructor(json: string) {
    this.json = json
  }
}

const names = fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'valueOf', 'hasOwnProperty', 'a')

/** Written by hand, for `JSON.stringify` can neither repeat a name nor escape one. */
export const hostileJson: fc.Arbitrary<string> = fc
  .letrec((tie) => ({
    value: fc.oneof({ depthSize: 'medium' }, fc.constantFrom('polluted', 1, null), fc.array(tie('value')), tie('table')),
    table: fc
      .array(fc.tuple(names, fc.boolean(), tie('value')), { maxLength: 4 })
      .map((entries) => new Raw(`{${entries.map(([name, escaped, value]) => `${nameAs(name, escaped)}:${written(value)}`).join()}}`)),
  }))
  .value.map(written)

function written(value: unknown): string {
  if (value instanceof Raw) return value.json
  return Array.isArray(value) ? `[${value.map(written).join()}]` : JSON.stringify(value)
}

const nameAs = (name: string, escaped: boolean): string =>
  escaped ? `"\\u${name.charCodeAt(0).toString(16).padStart(4, '0')}${name.slice(1)}"` : JSON.stringify(name)

/** As naive as any deep merge that was ever attacked: it follows `__proto__`, and `constructor` to `prototype`. */
export function mergeCarelessly(target: object, source: object): void {
  for (const key of Object.keys(source)) {
    const from: unknown = Reflect.get(source, key)
    const to: unknown = Reflect.get(target, key)
    if (!isObject(from)) Reflect.set(target, key, from)
    else if (isObject(to)) mergeCarelessly(to, from)
    else if (typeof to === 'function') {
      const [prototype, more] = [Reflect.get(to, 'prototype'), Reflect.get(from, 'prototype')] as unknown[]
      if (isObject(prototype) && isObject(more)) mergeCarelessly(prototype, more)
    } else {
      const fresh = {}
      Reflect.set(target, key, fresh)
      mergeCarelessly(fresh, from)
    }
  }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
