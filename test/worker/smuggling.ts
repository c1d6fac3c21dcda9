/**
 * Requests whose end two HTTP parsers in a row could see at different places, after the advisories on Node's, Gunicorn's, Puma's and proxies' parsers
 * (CVE-2024-1135, CVE-2024-6827, CVE-2022-24790, CVE-2023-30589, and RFC 9112 §11.2). Each hides a second request, to /smuggled, which no app may see.
 */

const HIDDEN = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
const CHUNKED = 'Transfer-Encoding: chunked'

/** A POST with these header lines, a body, and the hidden request. */
const post = (headers: readonly string[], body = ''): string =>
  `${['POST / HTTP/1.1', 'Host: x', ...headers].join('\r\n')}\r\n\r\n${body}${HIDDEN}`
/** A chunked one. */
const chunked = (body: string): string => post([CHUNKED], body)

export const smuggling: Readonly<Record<string, string>> = {
  'both lengths': post(['Content-Length: 5', CHUNKED], '0\r\n\r\n'),
  'both lengths, the other way round': post([CHUNKED, 'Content-Length: 5'], '0\r\n\r\n'),
  'two different lengths': post(['Content-Length: 0', 'Content-Length: 5'], 'hello'),
  'two equal lengths': post(['Content-Length: 5', 'Content-Length: 5'], 'hello'),
  'a list of lengths': post(['Content-Length: 5, 5'], 'hello'),
  'a length with a sign': post(['Content-Length: +5'], 'hello'),
  'a negative length': post(['Content-Length: -5'], 'hello'),
  'a hexadecimal length': post(['Content-Length: 0x5'], 'hello'),
  'a length with an underscore': post(['Content-Length: 1_0'], '0123456789'),
  'a length with a fraction': post(['Content-Length: 5.0'], 'hello'),
  'an empty length': post(['Content-Length: '], 'hello'),
  'a length in words': post(['Content-Length: five'], 'hello'),
  'a length with a space in it': post(['Content-Length: 5 0'], 'hello'),
  'a length beyond 64 bits': post(['Content-Length: 18446744073709551621'], 'hello'),
  'a space before the colon': post(['Content-Length : 5'], 'hello'),
  'a tab before the colon': post(['Transfer-Encoding\t: chunked'], '0\r\n\r\n'),
  'a space before the name': post([' Content-Length: 5'], 'hello'),
  'a folded header': post(['X: a', ' Content-Length: 5'], 'hello'),
  'a folded length': post(['Content-Length:', ' 5'], 'hello'),
  'a folded encoding': post(['Transfer-Encoding:', ' chunked'], '0\r\n\r\n'),
  'an encoding that is none': post(['Transfer-Encoding: xchunked'], '0\r\n\r\n'),
  'an encoding with a quote': post(['Transfer-Encoding: "chunked"'], '0\r\n\r\n'),
  'identity at the end': post(['Transfer-Encoding: chunked, identity'], '0\r\n\r\n'),
  'something after chunked': post(['Transfer-Encoding: chunked, gzip'], '0\r\n\r\n'),
  'chunked twice in one line': post(['Transfer-Encoding: chunked, chunked'], '0\r\n\r\n'),
  'chunked twice in two lines': post([CHUNKED, CHUNKED], '0\r\n\r\n'),
  'chunked, then another in a second line': post([CHUNKED, 'Transfer-Encoding: identity'], '0\r\n\r\n'),
  'a vertical tab before chunked': post(['Transfer-Encoding: \u000bchunked'], '0\r\n\r\n'),
  'a NUL in a value': post(['X: a\u0000b', 'Content-Length: 5'], 'hello'),
  'a bare CR in a value': post(['X: a\rContent-Length: 5'], 'hello'),
  'a bare LF after a header': `POST / HTTP/1.1\r\nHost: x\nContent-Length: 5\r\n\r\nhello${HIDDEN}`,
  'bare LFs only': `POST / HTTP/1.1\nHost: x\nContent-Length: 5\n\nhello${HIDDEN}`,
  'a bare CR for an end of line': `POST / HTTP/1.1\rHost: x\rContent-Length: 5\r\rhello${HIDDEN}`,
  'a header without a colon': post(['Nonsense', 'Content-Length: 5'], 'hello'),
  'a header without a name': post([': a', 'Content-Length: 5'], 'hello'),
  'a header with a bracket in its name': post(['Content-Length(: 5'], 'hello'),
  'encoding in HTTP/1.0 with a length': `POST / HTTP/1.0\r\nHost: x\r\n${CHUNKED}\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${HIDDEN}`,
  'a chunk size with a sign': chunked('+5\r\nhello\r\n0\r\n\r\n'),
  'a negative chunk size': chunked('-5\r\nhello\r\n0\r\n\r\n'),
  'a chunk size with a prefix': chunked('0x5\r\nhello\r\n0\r\n\r\n'),
  'a chunk size with an underscore': chunked('0_5\r\nhello\r\n0\r\n\r\n'),
  'a chunk size beyond 64 bits': chunked('10000000000000005\r\nhello\r\n0\r\n\r\n'),
  'an empty chunk size': chunked('\r\nhello\r\n0\r\n\r\n'),
  'a space before a chunk size': chunked(' 5\r\nhello\r\n0\r\n\r\n'),
  'a space after a chunk size': chunked('5 \r\nhello\r\n0\r\n\r\n'),
  'a bare LF after a chunk size': chunked('5\nhello\r\n0\r\n\r\n'),
  'a bare LF after a chunk': chunked('5\r\nhello\n0\r\n\r\n'),
  'a bare CR after a chunk': chunked('5\r\nhello\r0\r\n\r\n'),
  'a bare LF in a chunk extension': chunked('5;a\nhello\r\n0\r\n\r\n'),
  'a chunk longer than it says': chunked('5\r\nhello!\r\n0\r\n\r\n'),
  'a chunked body that ends with bare LFs': chunked('0\n\n'),
  'no method': ` / HTTP/1.1\r\nHost: x\r\n\r\n${HIDDEN}`,
  'a method nobody knows': `SMUGGLE / HTTP/1.1\r\nHost: x\r\n\r\n${HIDDEN}`,
  'a version nobody knows': `GET / HTTP/9.9\r\nHost: x\r\n\r\n${HIDDEN}`,
  'a version in small letters': `GET / http/1.1\r\nHost: x\r\n\r\n${HIDDEN}`,
  'a space in the target': `GET /a b HTTP/1.1\r\nHost: x\r\n\r\n${HIDDEN}`,
}
