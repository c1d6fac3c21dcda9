/** URLs without their secrets: the only form in which one may reach a log, an error, a metric or a process title. */

/** `amqp://user:***@host/vhost`. What is no URL is cut at its last `@`, since what stands before it may be a password. */
export function redactUrl(url: URL | string): string {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    return String(url).replace(/^.*@/s, '***@')
  }
  if (parsed.password !== '') parsed.password = '***'
  for (const key of parsed.searchParams.keys()) {
    if (/pass|secret|token|key/i.test(key)) parsed.searchParams.set(key, '***')
  }
  return parsed.href
}

const URL_LIKE = /([a-z][a-z0-9+.-]*:\/\/)([^\s"'<>]*)/gi
const SECRET_PARAMETER = /([?&;][^=&\s]*(?:password|passwd|secret|token|signature|key)[^=&\s]*=)[^&;\s"']*/gi

/**
 * Any text, such as another program's error message, with every password in a URL replaced by `***`, also in lists of hosts (`amqp://u:p@a,u:p@b/vhost`).
 * Where a password holds unescaped `/`, `,` or `@`, too much is replaced rather than too little.
 */
export function redactText(text: string): string {
  return text.replace(URL_LIKE, (_, scheme: string, rest: string) => scheme + redactHosts(rest).replace(SECRET_PARAMETER, '$1***'))
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
  const hosts: string[] = []
  let held = ''
  for (const piece of rest.split(',')) {
    held = held === '' ? piece : `${held},${piece}`
    // A piece without '@' while a later one has it may be the first half of a password with a comma in it.
    const seen = [...hosts, held].join(',').length
    if (!held.includes('@') && rest.includes('@', seen)) continue
    hosts.push(redactHost(held))
    held = ''
  }
  return hosts.join(',')
}

function redactHost(part: string): string {
  const at = part.lastIndexOf('@')
  const colon = part.indexOf(':')
  return at < 0 || colon < 0 || colon > at ? part : `${part.slice(0, colon)}:***${part.slice(at)}`
}
