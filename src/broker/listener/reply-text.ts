/** A reply text has at most 255 bytes on the wire. */
export function short(text: string): string {
  let end = 255
  const bytes = Buffer.from(text)
  if (bytes.length <= end) return text
  // Not in the middle of a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

/** An engine knows no virtual hosts, and speaks of the default one. */
export const inVhost = (text: string, vhost: string): string =>
  vhost === '/' || vhost === '' ? text : text.replaceAll("in vhost '/'", `in vhost '${vhost}'`)
