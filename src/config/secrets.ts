/** What proves who sends by HTTP. */
import { type Field, show } from '../core/options.ts'

/** RFC 6750 §2.1. */
export const token: Field<string> = hidden('a token of letters, digits and -._~+/=', /^[\w.~+/-]+=*$/)
/** Standard Webhooks: 24 to 64 bytes in base64, behind a prefix. */
export const signingSecret: Field<string> = hidden('whsec_ and 24 to 64 bytes in base64', /^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/)

/** What is wrong is told, and what is there is not. */
function hidden(expected: string, form: RegExp): Field<string> {
  return {
    read(value, at, problems) {
      if (typeof value === 'string' && form.test(value)) return value
      return void problems.push({ path: at, expected, got: typeof value === 'string' ? 'another text' : show(value) })
    },
  }
}
