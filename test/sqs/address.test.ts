import { describe, expect, it } from 'vitest'
import { ConfigError, TopologyError } from '../../src/core/errors.ts'
import { parseAddress } from '../../src/transports/sqs/address.ts'
import { snsName, sqsName } from '../../src/transports/sqs/names.ts'

const parse = (url: string) => parseAddress(new URL(url))

describe('the URL of SQS', () => {
  it.each<[string, object]>([
    [
      'sqs://sqs.eu-west-1.amazonaws.com',
      { region: 'eu-west-1', endpoint: undefined, credentials: undefined, base64: true, lease: 30, waitTime: 10 },
    ],
    ['sqs://AKIA:s%2Fe%2Bc@sqs.eu-west-1.amazonaws.com', { credentials: { accessKeyId: 'AKIA', secretAccessKey: 's/e+c' } }],
    ['sqs://sqs.cn-north-1.amazonaws.com.cn/', { region: 'cn-north-1', endpoint: undefined }],
    ['sqs://sqs-fips.us-gov-west-1.amazonaws.com', { region: 'us-gov-west-1' }],
    ['sqs://vpce-1.sqs.us-east-1.vpce.amazonaws.com', { region: 'us-east-1', endpoint: 'https://vpce-1.sqs.us-east-1.vpce.amazonaws.com' }],
    ['sqs://?region=us-east-1', { region: 'us-east-1', endpoint: undefined }],
    ['sqs://localhost:4566', { region: undefined, endpoint: 'http://localhost:4566' }],
    ['sqs://localhost:4566?is_secure=true', { endpoint: 'https://localhost:4566' }],
    ['sqs://queues.example:9324', { endpoint: 'https://queues.example:9324' }],
    ['sqs://?endpoint=http://10.0.0.1:1', { endpoint: 'http://10.0.0.1:1' }],
    [
      'sqs://h?wait_time_seconds=20&lease_seconds=60&polling_interval=0.5&visibility_timeout=0',
      { waitTime: 20, lease: 60, pollingIntervalMs: 500, visibilityTimeout: 0 },
    ],
    ['sqs://h?sqs_base64_encoding=False&queue_name_prefix=prod-', { base64: false, queueNamePrefix: 'prod-' }],
    [
      `sqs://h?predefined_queues=${encodeURIComponent('{"a":{"url":"https://h/1/a"},"b.fifo":"https://h/1/b.fifo"}')}`,
      {
        predefined: new Map([
          ['a', 'https://h/1/a'],
          ['b.fifo', 'https://h/1/b.fifo'],
        ]),
      },
    ],
    ['sqs://h?supports_fanout=False', { sns: undefined }],
    ['sqs://localhost:4566?supports_fanout=true', { sns: { endpoint: 'http://localhost:4566', predefined: undefined } }],
    ['sqs://sqs.eu-west-1.amazonaws.com?supports_fanout=true', { sns: { endpoint: undefined } }],
    ['sqs://vpce-1.sqs.us-east-1.vpce.amazonaws.com?supports_fanout=true', { sns: { endpoint: undefined } }],
    [
      `sqs://h?supports_fanout=true&predefined_exchanges=${encodeURIComponent('{"a":{"arn":"arn:aws:sns:r:1:b"}}')}`,
      { sns: { predefined: new Map([['a', 'arn:aws:sns:r:1:b']]) } },
    ],
  ])('%s is read', (url, expected) => {
    expect(parse(url)).toMatchObject(expected)
  })

  it.each([
    ['sqs://h?wait_time_second=1', 'wait_time_second: expected a known option; did you mean "wait_time_seconds"?'],
    ['sqs://h?wait_time_seconds=30', 'wait_time_seconds: expected a whole number from 0 to 20, got 30'],
    ['sqs://h?lease_seconds=1.5', 'lease_seconds: expected a whole number from 2 to 43200, got 1.5'],
    ['sqs://h?polling_interval=soon', 'polling_interval: expected a number from 0.01 to 3600, got "soon"'],
    ['sqs://h?is_secure=maybe', 'is_secure: expected true or false, got "maybe"'],
    ['sqs://h/orders', 'path: expected none, since a queue is named where it is declared'],
    ['sqs://AKIA@h', 'user name: expected a key with its secret, as sqs://KEY:SECRET@…, or neither, got a key alone'],
    ['sqs://AKIA:%zz@h', 'password: expected percent-encoding, in which "%" is %25, "/" %2F'],
    ['sqs://h?region=Ireland', 'region: expected a name like eu-west-1, got "Ireland"'],
    ['sqs://h?endpoint=localhost', 'endpoint: expected a URL like http://localhost:4566, got "localhost"'],
    ['sqs://h?predefined_queues=orders', 'predefined_queues: expected JSON like'],
    ['sqs://h?predefined_queues={"a":"no"}', 'got "no" as the url of "a"'],
    ['sqs://h?predefined_queues={"a":"https://h/a.fifo"}', 'of which one alone ends with .fifo'],
    ['sqs://h?supports_fanout=sns', 'supports_fanout: expected true or false, got "sns"'],
    ['sqs://h?supports_fanout=true&predefined_exchanges={"a":"https://h/a"}', 'got "https://h/a" as the arn of "a"'],
    ['sqs://h?predefined_exchanges={"a":"arn:a"}', 'predefined_exchanges: expected supports_fanout=true beside it'],
  ])('%s is refused', (url, reason) => {
    expect(() => parse(url)).toThrow(ConfigError)
    expect(() => parse(url)).toThrow(reason)
  })
})

describe('the name of a queue', () => {
  // What Kombu's entity_name() gives for the same.
  it.each([
    ['orders', '', 'orders'],
    ['orders.new', '', 'orders-new'],
    ['orders:new!', 'prod.', 'prod-orders_new_'],
    ['a-b_c', '', 'a-b_c'],
    ['orders.v1.fifo', '', 'orders-v1.fifo'],
    ['orders.fifo.dlq', '', 'orders-fifo-dlq'],
  ])('%s with prefix "%s" is %s', (name, prefix, expected) => {
    expect(sqsName(name, prefix)).toBe(expected)
  })

  it('may be longer where it is of a topic', () => {
    expect(snsName(`news.${'x'.repeat(100)}`, 'prod.')).toBe(`prod-news-${'x'.repeat(100)}`)
    expect(() => snsName('x'.repeat(257), '')).toThrow(/SNS.*256.*exchange/)
  })

  it.each([
    ['x'.repeat(81), 'has 81'],
    ['очередь', 'has others'],
    ['a b', 'has others'],
    ['', 'has 0'],
  ])('"%s" is refused', (name, reason) => {
    expect(() => sqsName(name, '')).toThrow(TopologyError)
    expect(() => sqsName(name, '')).toThrow(reason)
  })
})
