import { describe, expect, it } from 'vitest'
import { ConfigError } from '../../src/core/errors.ts'
import { parseUrls } from '../../src/core/urls.ts'

const hrefs = (input: string | string[]) => parseUrls(input).map((url) => url.href)

describe('parseUrls', () => {
  it('reads one URL, a list, and one with a list of hosts', () => {
    expect(hrefs('amqp://localhost')).toEqual(['amqp://localhost'])
    expect(hrefs('amqp://u:p@a,b:5673/vhost?x=1')).toEqual(['amqp://u:p@a/vhost?x=1', 'amqp://u:p@b:5673/vhost?x=1'])
    expect(hrefs(['amqp://a', 'amqp://b'])).toEqual(['amqp://a', 'amqp://b'])
    expect(hrefs('amqp://a/v;amqp://b/w')).toEqual(['amqp://a/v', 'amqp://b/w'])
    expect(hrefs('amqp://a,amqp://b')).toEqual(['amqp://a', 'amqp://b'])
    expect(hrefs('omnibus:///data/my%20app/.omnibus?spawn=false')).toEqual(['omnibus:///data/my%20app/.omnibus?spawn=false'])
  })

  it('says what is wrong without telling the password', () => {
    for (const input of ['', 'localhost', 'amqp://user:hunter2@a:port/v', []]) {
      let error: unknown
      try {
        parseUrls(input)
      } catch (thrown) {
        error = thrown
      }
      expect(error, String(input)).toBeInstanceOf(ConfigError)
      expect(String(error)).not.toContain('hunter2')
    }
  })
})
