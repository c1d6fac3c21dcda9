import type { ServerResponse } from 'node:http'

/** The head of an HTTP/1.1 response as it was sent, if it was. Not part of Node's documented API. */
export function sentHead(response: ServerResponse): string | undefined {
  const head: unknown = Reflect.get(response, '_header')
  return typeof head === 'string' ? head : undefined
}

/** A header of the response, in lower case; also one given to `writeHead` alone, which is only in the head as sent. */
export function responseHeader(response: ServerResponse, name: string): string | undefined {
  const value = response.getHeader(name)
  if (value !== undefined) return String(value)
  const head = sentHead(response)
  if (head === undefined) return undefined
  const at = head.toLowerCase().indexOf(`\r\n${name}:`)
  if (at < 0) return undefined
  const from = at + name.length + 3
  return head.slice(from, head.indexOf('\r\n', from)).trim()
}
