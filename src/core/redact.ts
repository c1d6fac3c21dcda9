/** URLs without their secrets: the only form in which one may reach a log, an error, a metric or a process title. */

/** `amqp://user:***@host/vhost`. What is no URL with a host is cut at its last `@`, since what stands before it may be a password. */
export function redactUrl(url: URL | string): string {
  // `user:password@host`, without a scheme, reads as a URL whose scheme is the user.
  const parsed = URL.canParse(String(url)) ? new URL(url) : undefined
  if (parsed === undefined || (parsed.host === '' && !String(url).includes('://'))) return String(url).replace(/^.*@/s, '***@')
  if (parsed.password !== '') parsed.password = '***'
  for (const key of parsed.searchParams.keys()) {
    if (/pass|secret|token|key/i.test(key)) parsed.searchParams.set(key, '***')
  }
  return parsed.href
}

// Both take time in proportion to the text, whatever a client writes: no two of their matches can begin in the same run of characters.
const AFTER_SCHEME = /:\/\/([^\s"'<>]*)/g
const SECRET_PARAMETER = /([?&;](?=[^=&;?\s]*(?:password|passwd|secret|token|signature|key))[^=&;?\s]*=)[^&;\s"']*/gi

/**
 * Any text, such as another program's error message, with every password in a URL replaced by `***`, also in lists of hosts (`amqp://u:p@a,u:p@b/vhost`).
 * Where a password holds unescaped `/`, `,` or `@`, too much is replaced rather than too little.
 */
export function redactText(text: string): string {
  if (!text.includes('://')) return text
  return text.replace(AFTER_SCHEME, (_, rest: string) => `://${redactTarget(redactHosts(rest))}`)
}

/** The target of a request, which has no scheme to be known as a URL by: its secret parameters replaced. */
export function redactTarget(target: string): string {
  return target.replace(SECRET_PARAMETER, '$1***')
}

/** The same data with `redactText` applied to every text in it; for what is printed as JSON. */
export function redactDeep(value: unknown): unknown {
  if (typeof value === 'string') return redactText(value)
  if (Array.isArray(value)) return value.map((item: unknown) => redactDeep(item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactDeep(item)]))
}

function redactHosts(rest: string): string {
  const lastAt = rest.lastIndexOf('@')
  if (lastAt < 0) return rest
  const hosts: string[] = []
  let from = 0
  let end = -1
  for (const piece of rest.split(',')) {
    end += piece.length + 1
    // A piece without '@' while a later one has it may be the first half of a password with a comma in it.
    if (!piece.includes('@') && lastAt > end) continue
    hosts.push(redactHost(rest.slice(from, end)))
    from = end + 1
  }
  return hosts.join(',')
}

function redactHost(part: string): string {
  const at = part.lastIndexOf('@')
  const colon = part.indexOf(':')
  return at < 0 || colon < 0 || colon > at ? part : `${part.slice(0, colon)}:***${part.slice(at)}`
}
