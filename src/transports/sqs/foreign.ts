/** Bodies that no Kombu wrote: notifications of AWS itself, any other JSON, any text. */
import type { MessageAttributeValue } from '@aws-sdk/client-sqs'
import type { Headers, HeaderValue, MessageProperties } from '../../core/message.ts'

export interface Foreign {
  readonly body: string
  readonly properties: MessageProperties
}

type Table = Readonly<Record<string, unknown>>

const JSON_TYPE = { contentType: 'application/json', contentEncoding: 'utf-8' }
const TEXT_TYPE = { contentType: 'text/plain', contentEncoding: 'utf-8' }

/** `parsed` is the text's JSON; undefined where it is none. */
export function readForeign(text: string, parsed: unknown, headers: Headers): Foreign {
  if (isTable(parsed)) {
    if (isNotification(parsed)) return readNotification(parsed, headers)
    if (isEvent(parsed)) return { body: text, properties: { ...JSON_TYPE, headers, ...eventProperties(parsed) } }
  }
  return { body: text, properties: { ...(parsed === undefined ? TEXT_TYPE : JSON_TYPE), headers } }
}

/** An SNS notification's own message, where it was not delivered raw. */
export function notificationText(parsed: unknown): string | undefined {
  return isTable(parsed) && isNotification(parsed) ? (parsed['Message'] as string) : undefined
}

/** As headers: texts, numbers and bytes. */
export function attributeHeaders(attributes: Readonly<Record<string, MessageAttributeValue>> = {}): Headers {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, { DataType: type = '', StringValue: text, BinaryValue: bytes }]): [string, HeaderValue] => [
      name,
      bytes ?? (type.startsWith('Number') ? numberOf(text) : text),
    ]),
  )
}

/** https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html */
function isNotification(parsed: Table): boolean {
  return parsed['Type'] === 'Notification' && typeof parsed['TopicArn'] === 'string' && typeof parsed['Message'] === 'string'
}

function readNotification(parsed: Table, headers: Headers): Foreign {
  const { Message: message, MessageAttributes: given, Subject: subject, TopicArn: topic } = parsed
  const body = message as string
  return {
    body,
    properties: {
      ...(isJson(body) ? JSON_TYPE : TEXT_TYPE),
      headers: {
        ...headers,
        ...(isTable(given) ? notificationHeaders(given) : {}),
        'sns-topic': topic as string,
        'sns-subject': textOf(subject),
      },
      ...present({ messageId: textOf(parsed['MessageId']), timestamp: timeOf(parsed['Timestamp']) }),
    },
  }
}

function notificationHeaders(given: Table): Headers {
  return Object.fromEntries(
    Object.entries(given).map(([name, attribute]): [string, HeaderValue] => {
      const { Type: type, Value: value } = isTable(attribute) ? attribute : {}
      const text = textOf(value)
      if (text === undefined) return [name, undefined]
      return [name, type === 'Number' ? numberOf(text) : type === 'Binary' ? Buffer.from(text, 'base64') : text]
    }),
  )
}

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html */
function isEvent(parsed: Table): boolean {
  return typeof parsed['detail-type'] === 'string' && typeof parsed['source'] === 'string' && isTable(parsed['detail'])
}

function eventProperties(parsed: Table): MessageProperties {
  return present({
    type: textOf(parsed['detail-type']),
    appId: textOf(parsed['source']),
    messageId: textOf(parsed['id']),
    timestamp: timeOf(parsed['time']),
  })
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const isTable = (value: unknown): value is Table => typeof value === 'object' && value !== null && !Array.isArray(value)

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

const numberOf = (text: string | undefined): HeaderValue => (text !== undefined && Number.isFinite(Number(text)) ? Number(text) : text)

function timeOf(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}

function present(properties: MessageProperties): MessageProperties {
  return Object.fromEntries(Object.entries(properties).filter(([, value]) => value !== undefined))
}
