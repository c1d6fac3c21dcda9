/**
 * Bodies to values and back, by content type. Only types on the accept list are decoded, and only json, text and bytes
 * exist: nothing that could revive code. The content types are Kombu's, so that its default accept list takes ours.
 */
import { CodecError } from './errors.ts'
import type { MessageProperties } from './message.ts'

export interface CodecOptions {
  /** Content types that may be decoded. @default all that exist: json, text and bytes */
  readonly accept?: readonly string[]
  /** Larger bodies are refused in both directions, before they are parsed. @default 16 MiB */
  readonly maxBodyBytes?: number
  /** Deeper JSON is refused: parsing it works, but writing it again would not. @default 64 */
  readonly maxDepth?: number
}

export interface Encoded {
  readonly body: Uint8Array
  readonly contentType: string
  readonly contentEncoding: string
}

const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain'
const BYTES_TYPE = 'application/data'
const ALL_TYPES = [JSON_TYPE, TEXT_TYPE, BYTES_TYPE, 'application/octet-stream']

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

export class Codecs {
  readonly #accept: ReadonlySet<string>
  readonly #maxBodyBytes: number
  readonly #maxDepth: number

  constructor(options: CodecOptions = {}) {
    this.#accept = new Set(options.accept ?? ALL_TYPES)
    this.#maxBodyBytes = options.maxBodyBytes ?? 16 * 1024 * 1024
    this.#maxDepth = options.maxDepth ?? 64
  }

  /** Bytes stay bytes, a text becomes text/plain, anything else JSON. Throws `CodecError`. */
  encode(payload: unknown): Encoded {
    const encoded = encodeByKind(payload)
    if (encoded.body.byteLength > this.#maxBodyBytes) {
      throw new CodecError(`The body has ${encoded.body.byteLength} bytes; at most ${this.#maxBodyBytes} are allowed`)
    }
    return encoded
  }

  /** The value in a body. Throws `CodecError` for what is not accepted, too large, too deep or malformed. */
  decode(body: Uint8Array, properties: MessageProperties): unknown {
    const contentType = essence(properties.contentType)
    if (!this.#accept.has(contentType))
      throw new CodecError(`Content type "${contentType}" is not accepted (accepted: ${[...this.#accept].join(', ')})`)
    if (body.byteLength > this.#maxBodyBytes)
      throw new CodecError(`The body has ${body.byteLength} bytes; at most ${this.#maxBodyBytes} are accepted`)
    const compression = properties.headers?.['compression']
    if (compression !== undefined) throw new CodecError(`The body is compressed (${String(compression)}), which is not supported`)
    if (contentType === JSON_TYPE) return this.#decodeJson(body)
    if (contentType === TEXT_TYPE) return decodeText(body)
    return body
  }

  #decodeJson(body: Uint8Array): unknown {
    if (depthOf(body, this.#maxDepth) > this.#maxDepth) throw new CodecError(`The JSON body is nested deeper than ${this.#maxDepth} levels`)
    const source = decodeText(body)
    try {
      // The reviver costs several times the parse, so it runs only where such a key can be: spelled out or escaped.
      return source.includes('__proto__') || source.includes('\\u') ? JSON.parse(source, withoutPrototype) : JSON.parse(source)
    } catch (error) {
      throw new CodecError(`The body is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
}

export function decodeText(body: Uint8Array): string {
  try {
    return strictUtf8.decode(body)
  } catch (error) {
    throw new CodecError('The body is not UTF-8 text', { cause: error })
  }
}

function encodeByKind(payload: unknown): Encoded {
  if (payload instanceof Uint8Array) return { body: payload, contentType: BYTES_TYPE, contentEncoding: 'binary' }
  if (typeof payload === 'string') return { body: Buffer.from(payload), contentType: TEXT_TYPE, contentEncoding: 'utf-8' }
  let json: string | undefined
  try {
    json = JSON.stringify(payload)
  } catch (error) {
    throw new CodecError(`The payload cannot be written as JSON: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
  if (json === undefined)
    throw new CodecError(`The payload cannot be written as JSON: it is ${payload === undefined ? 'undefined' : `a ${typeof payload}`}`)
  return { body: Buffer.from(json), contentType: JSON_TYPE, contentEncoding: 'utf-8' }
}

/** A content type without its parameters, in lower case; none means bytes, as Kombu reads it. */
function essence(contentType: string | undefined): string {
  if (contentType === undefined || contentType === '') return BYTES_TYPE
  const end = contentType.indexOf(';')
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase()
}

/** `__proto__` as a plain key would become a prototype at the first Object.assign. */
function withoutPrototype(key: string, value: unknown): unknown {
  return key === '__proto__' ? undefined : value
}

/** The nesting depth of a JSON text, read no further than one level beyond `limit`. */
function depthOf(body: Uint8Array, limit: number): number {
  if (body.byteLength <= limit) return 0
  let depth = 0
  let deepest = 0
  let inText = false
  for (let i = 0; i < body.byteLength && deepest <= limit; i++) {
    const byte = body[i]
    if (inText) {
      if (byte === 0x5c) i++
      else if (byte === 0x22) inText = false
    } else if (byte === 0x22) inText = true
    else if (byte === 0x5b || byte === 0x7b) deepest = Math.max(deepest, ++depth)
    else if (byte === 0x5d || byte === 0x7d) depth--
  }
  return deepest
}
