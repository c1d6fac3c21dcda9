/** Broker URLs as people write them: one, a list, or one with a list of hosts. */
import { ConfigError, type Problem } from './errors.ts'
import { redactUrl } from './redact.ts'

/**
 * `amqp://a,b:5673/vhost` is two hosts that share everything else; several whole URLs may stand in a list, or in one
 * text separated by `;` (as Kombu writes them) or `,`. Throws `ConfigError`; its text holds no password.
 */
export function parseUrls(input: string | readonly string[]): URL[] {
  const problems: Problem[] = []
  const urls = (typeof input === 'string' ? splitWhole(input) : input).flatMap((text, i) => {
    try {
      return splitHosts(text).map((one) => new URL(one))
    } catch {
      problems.push({ path: `url[${i}]`, expected: 'a URL like amqp://user:password@host:5672/vhost', got: redactUrl(text) })
      return []
    }
  })
  if (urls.length === 0 && problems.length === 0) problems.push({ path: 'url', expected: 'at least one URL', got: 'none' })
  if (problems.length > 0) throw new ConfigError('The bus URL', problems)
  return urls
}

function splitWhole(text: string): string[] {
  return text.split(/[;,](?=[a-z][a-z0-9+.-]*:\/\/)/i).map((part) => part.trim())
}

function splitHosts(text: string): string[] {
  const match = /^([a-z][a-z0-9+.-]*:\/\/)((?:[^/?#]*@)?)([^/?#]*)(.*)$/is.exec(text)
  if (!match) return [text]
  const [, scheme, userinfo, hosts = '', rest] = match
  return hosts.split(',').map((host) => `${scheme}${userinfo}${host}${rest}`)
}
