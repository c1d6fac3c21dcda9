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
