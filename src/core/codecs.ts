/**
 * Bodies to values and back, by content type. Only types on the accept list are decoded, and only JSON, text and bytes
 * exist: nothing that could revive code. The content types are Kombu's, so that its default accept list takes ours.
 */
import { TextDecoder } from 'node:util'
import { type Compression, compress, decompress } from './codec-compression.ts'
import { reviveKombuType } from './codec-kombu-types.ts'
import { CodecError, messageOf } from './errors.ts'
import { nestsDeeper } from './json-depth.ts'
import { mayHoldPrototype, withoutPrototype } from './json-prototype.ts'
import type { MessageProperties } from './message.ts'
import { show } from './options.ts'

export interface CodecOptions {
  /**
   * Content types that may be decoded: JSON by the name or the ending `+json`, text by `text/`, all others as bytes.
   * @default application/json, text/plain, application/text, application/data, application/octet-stream
   */
  readonly accept?: readonly string[]
  /** Larger bodies are refused in both directions, before they are unpacked or parsed. @default 16 MiB */
  readonly maxBodyBytes?: number
  /** Deeper JSON is refused: parsing it works, but writing it again would not. @default 64 */
  readonly maxDepth?: number
  /**
   * Read the types newer Kombu writes into JSON as `{"__type__": …, "__value__": …}`: datetime becomes a `Date`, bytes and
   * base64 a `Uint8Array`, date, time, decimal and uuid a text. @default false: they stay the objects they are
   */
  readonly kombuTypes?: boolean
}

export interface Encoded {
  readonly body: Uint8Array
  readonly contentType?: string
  readonly contentEncoding?: string
  /** The value of the header `compression`. */
  readonly compression?: string
}

/** A payload that is encoded already: sent on as it came, whatever its size, with the properties it came with. */
export class EncodedBody {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain'
const BYTES_TYPE = 'application/data'
const DEFAULT_TYPES = [JSON_TYPE, TEXT_TYPE, 'application/text', BYTES_TYPE, 'application/octet-stream']

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

export class Codecs {
  readonly #accept: ReadonlySet<string>
  readonly #maxBodyBytes: number
  readonly #maxDepth: number
  readonly #kombuTypes: boolean

  constructor(options: CodecOptions = {}) {
    this.#accept = new Set((options.accept ?? DEFAULT_TYPES).map(essence))
    this.#maxBodyBytes = options.maxBodyBytes ?? 16 * 1024 * 1024
    this.#maxDepth = options.maxDepth ?? 64
    this.#kombuTypes = options.kombuTypes ?? false
  }

  /** Bytes stay bytes, a text becomes text/plain, anything else JSON. Throws `CodecError`. */
  encode(payload: unknown, compression?: Compression): Encoded {
    if (payload instanceof EncodedBody) return { body: payload.bytes }
    const encoded = encodeByKind(payload)
    if (encoded.body.byteLength > this.#maxBodyBytes) {
      throw new CodecError(`The body has ${encoded.body.byteLength} bytes; at most ${this.#maxBodyBytes} are allowed`)
    }
    if (compression === undefined) return encoded
    const { body, header } = compress(encoded.body, compression)
    return { ...encoded, body, compression: header }
  }

  /** The value in a body. Throws `CodecError` for what is not accepted, too large, too deep or malformed. */
  decode(body: Uint8Array, properties: MessageProperties): unknown {
    const contentType = essence(properties.contentType)
    if (!this.#accept.has(contentType))
      throw new CodecError(`Content type "${contentType}" is not accepted (accepted: ${[...this.#accept].join(', ')})`)
    const plain = this.#unpack(body, properties)
    if (contentType === JSON_TYPE || contentType.endsWith('+json')) return this.#decodeJson(plain)
    if (contentType.startsWith('text/') || contentType === 'application/text') return decodeText(plain, charsetOf(properties))
    return plain
  }

  /** The body as text, whatever its content type. Throws `CodecError`. */
  text(body: Uint8Array, properties: MessageProperties): string {
    return decodeText(this.#unpack(body, properties), charsetOf(properties))
  }

  #unpack(body: Uint8Array, properties: MessageProperties): Uint8Array {
    if (body.byteLength > this.#maxBodyBytes)
      throw new CodecError(`The body has ${body.byteLength} bytes; at most ${this.#maxBodyBytes} are accepted`)
    const compression = properties.headers?.['compression']
    return compression === undefined || compression === null ? body : decompress(body, compression, this.#maxBodyBytes)
  }

  #decodeJson(body: Uint8Array): unknown {
    const source = decodeText(body)
    if (nestsDeeper(source, this.#maxDepth)) throw new CodecError(`The JSON body is nested deeper than ${this.#maxDepth} levels`)
    const reviver = this.#reviverFor(source)
    try {
      return reviver ? JSON.parse(source, reviver) : JSON.parse(source)
    } catch (error) {
      if (error instanceof CodecError) throw error
      throw new CodecError(`The body is not JSON: ${messageOf(error)}`, { cause: error })
    }
  }

  /** A reviver costs several times the parse, so it runs only where what it looks for can be. */
  #reviverFor(source: string): ((key: string, value: unknown) => unknown) | undefined {
    const types = this.#kombuTypes && source.includes('"__type__"')
    if (!types) return mayHoldPrototype(source) ? withoutPrototype : undefined
    return (key, value) => reviveKombuType(withoutPrototype(key, value))
  }
}

function decodeText(body: Uint8Array, charset = 'utf-8'): string {
  // A TextDecoder takes this name for windows-1252.
  if (charset !== 'utf-8' && /^(latin-?1|iso-?8859-1)$/.test(charset))
    return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1')
  const decoder = charset === 'utf-8' ? strictUtf8 : decoderFor(charset)
  try {
    return decoder.decode(body)
  } catch (error) {
    throw new CodecError(`The body is not ${charset.toUpperCase()} text`, { cause: error })
  }
}

function decoderFor(charset: string): TextDecoder {
  try {
    return new TextDecoder(charset, { fatal: true })
  } catch (error) {
    throw new CodecError(`The charset ${show(charset)} of the body is not known`, { cause: error })
  }
}

/** Kombu says it as the content encoding, which for bytes is `binary`; others in the content type. */
function charsetOf({ contentEncoding = '', contentType = '' }: MessageProperties): string {
  const said = contentEncoding === '' ? (/;\s*charset="?([^\s;"]+)/i.exec(contentType)?.[1] ?? '') : contentEncoding
  // Python writes `utf-16-le` and `utf_8` where the registered names are `utf-16le` and `utf-8`.
  const charset = said
    .trim()
    .toLowerCase()
    .replaceAll('_', '-')
    .replace(/^utf-16-/, 'utf-16')
  return UTF8_NAMES.has(charset) ? 'utf-8' : charset
}

const UTF8_NAMES = new Set(['', 'utf-8', 'utf8', 'ascii', 'us-ascii', 'binary', 'ascii-8bit', '8bit', '7bit', 'identity'])

function encodeByKind(payload: unknown): Encoded {
  if (payload instanceof Uint8Array) return { body: payload, contentType: BYTES_TYPE, contentEncoding: 'binary' }
  if (typeof payload === 'string') return { body: Buffer.from(payload), contentType: TEXT_TYPE, contentEncoding: 'utf-8' }
  let json: string | undefined
  try {
    json = JSON.stringify(payload)
  } catch (error) {
    throw new CodecError(`The payload cannot be written as JSON: ${messageOf(error)}`, { cause: error })
  }
  if (json === undefined)
    throw new CodecError(`The payload cannot be written as JSON: it is ${payload === undefined ? 'undefined' : `a ${typeof payload}`}`)
  return { body: Buffer.from(json), contentType: JSON_TYPE, contentEncoding: 'utf-8' }
}

/** A content type without its parameters, in lower case; none means bytes, as Kombu reads it. */
function essence(contentType: string | undefined): string {
  if (contentType === JSON_TYPE) return contentType
  if (contentType === undefined || contentType === '') return BYTES_TYPE
  const end = contentType.indexOf(';')
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase()
}
