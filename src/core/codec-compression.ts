/** Compressed bodies, under the names Kombu gives them in the header `compression`: one layer, and bounded before it is unpacked. */
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateSync,
  unzipSync,
  zstdCompressSync,
  zstdDecompressSync,
} from 'node:zlib'
import { CodecError, messageOf } from './errors.ts'
import { nearest, show } from './options.ts'

export type Compression = 'gzip' | 'brotli' | 'zstd'

interface Method {
  /** What goes into the header. */
  readonly contentType: string
  /** What else Kombu calls it, in lower case. */
  readonly aliases: readonly string[]
  compress(body: Uint8Array): Uint8Array
  decompress(body: Uint8Array, maxOutputLength: number): Uint8Array
}

/** The largest window that RFC 8878 §3.1.1.1.2 asks every decoder to take. Bits. */
const ZSTD_MIN_WINDOW_LOG = 23
const ZSTD_MAX_WINDOW_LOG = 27

const methods: Readonly<Record<Compression, Method>> = {
  gzip: {
    contentType: 'application/x-gzip',
    aliases: ['gzip', 'zlib'],
    // Kombu's "gzip" is a zlib stream (RFC 1950); others mean RFC 1952, and the first bytes tell which it is.
    compress: (body) => deflateSync(body),
    decompress: (body, maxOutputLength) => unzipSync(body, { maxOutputLength }),
  },
  brotli: {
    contentType: 'application/x-brotli',
    aliases: ['brotli'],
    // The best quality, which is the default, takes a second per MiB.
    compress: (body) => brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }),
    decompress: (body, maxOutputLength) => brotliDecompressSync(body, { maxOutputLength }),
  },
  zstd: {
    contentType: 'application/zstd',
    aliases: ['zstd', 'zstandard'],
    compress: (body) => zstdCompressSync(body),
    decompress: (body, maxOutputLength) =>
      zstdDecompressSync(body, { maxOutputLength, params: { [constants.ZSTD_d_windowLogMax]: windowLog(maxOutputLength) } }),
  },
}

const byName: ReadonlyMap<string, Method> = new Map(
  Object.values(methods).flatMap((method) => [method.contentType, ...method.aliases].map((name) => [name, method] as const)),
)
const supported = Object.keys(methods).join(', ')

/** The body compressed, and the value of its header `compression`. Throws `CodecError` for a method that is none. */
export function compress(body: Uint8Array, compression: Compression): { readonly body: Uint8Array; readonly header: string } {
  const method = Object.hasOwn(methods, compression) ? methods[compression] : undefined
  if (method === undefined) {
    const near = typeof compression === 'string' ? nearest(compression, Object.keys(methods)) : undefined
    throw new CodecError(`Unknown compression ${show(compression)} (there are ${supported}${near ? `; did you mean "${near}"?` : ''})`)
  }
  return { body: method.compress(body), header: method.contentType }
}

/** The body unpacked, of at most `maxBytes`. Throws `CodecError`, and unpacks no further than to the limit. */
export function decompress(body: Uint8Array, compression: unknown, maxBytes: number): Uint8Array {
  const method = typeof compression === 'string' ? byName.get(compression.trim().toLowerCase()) : undefined
  if (method === undefined) throw new CodecError(`Compression ${show(compression)} is not supported (supported: ${supported})`)
  try {
    return method.decompress(body, Math.max(1, maxBytes))
  } catch (error) {
    const tooLarge = error instanceof Error && Reflect.get(error, 'code') === 'ERR_BUFFER_TOO_LARGE'
    throw new CodecError(
      tooLarge
        ? `The body has more than ${maxBytes} bytes when decompressed`
        : `The body is not ${method.contentType}, as its header "compression" says: ${messageOf(error)}`,
      { cause: error },
    )
  }
}

/** A frame may ask for its whole window before its first byte, so the window is bounded by what may come out of it. */
function windowLog(maxBytes: number): number {
  return Math.min(ZSTD_MAX_WINDOW_LOG, Math.max(ZSTD_MIN_WINDOW_LOG, Math.ceil(Math.log2(maxBytes))))
}
