/** Between a message and what SQS carries: Kombu's envelope, once more in base64 or not, and SQS's own fields beside it. */
import { isUtf8 } from 'node:buffer'
import { createHash, randomUUID } from 'node:crypto'
import type { Message, MessageAttributeValue, SendMessageBatchRequestEntry } from '@aws-sdk/client-sqs'
import { CodecError } from '../../core/errors.ts'
import type { Headers, Outgoing } from '../../core/message.ts'
import { show } from '../../core/options.ts'
import { type Envelope, envelopeFrom, parseEnvelope, unreadable, writeEnvelope } from '../kit/envelope.ts'
import { writeJsonHeaders } from '../kit/json-headers.ts'
import { attributeHeaders, notificationText, readForeign } from './foreign.ts'
import type { Target } from './routes.ts'

/** What is sent, without the id a batch gives it. */
export type Entry = Omit<SendMessageBatchRequestEntry, 'Id'> & { readonly MessageBody: string }

/** Headers that are SQS's own fields, by the names Kombu gives them among its properties. */
const GROUP = 'MessageGroupId'
const DEDUPLICATION = 'MessageDeduplicationId'
const DELAY = 'DelaySeconds'
const ATTRIBUTES = 'message_attributes'

/** When a message that waits longer than SQS can delay it may be handled; milliseconds since 1970. Kombu looks at no attributes. */
const DUE = 'omnibus-due'
const LONGEST_DELAY = 900
/** What a message may have; one of SNS with more would be taken, and given to nobody. */
const MOST_ATTRIBUTES = 10

/** Identical for each attempt to send one message, so that a FIFO queue keeps one; never for two messages that were published apart. */
export class Identities {
  readonly #ids = new WeakMap<Outgoing, string>()

  of(message: Outgoing, headers: Headers): string {
    const { messageId } = message.properties
    // A retry or a dead letter has the id of its original, and other headers.
    if (messageId !== undefined) return createHash('sha256').update(messageId).update('\0').update(writeJsonHeaders(headers)).digest('hex')
    const id = this.#ids.get(message) ?? randomUUID()
    this.#ids.set(message, id)
    return id
  }
}

export interface WriteOptions {
  readonly base64: boolean
  readonly identities: Identities
  /** Milliseconds since 1970. */
  readonly now: number
}

/** One copy of a message, for one queue. Throws `CodecError` for headers that cannot be written. */
export function writeMessage(message: Outgoing, target: Target, { base64, identities, now }: WriteOptions): Entry {
  const {
    [GROUP]: group,
    [DEDUPLICATION]: deduplication,
    [DELAY]: delay,
    [ATTRIBUTES]: attributes,
    ...headers
  } = message.properties.headers ?? {}
  const properties = { ...message.properties, headers }
  const envelope = writeEnvelope({ ...target.arrivesAs, body: message.body, properties }, randomUUID())
  const delayMs = Math.max(target.delayMs, delay === undefined ? 0 : secondsOf(delay) * 1_000)
  // SNS delays nothing and a FIFO queue all messages or none, so that there the reader waits.
  const longestDelay = target.fifo || target.topic ? 0 : LONGEST_DELAY
  const seconds = Math.min(longestDelay, Math.ceil(delayMs / 1_000))
  const holdBack = delayMs > longestDelay * 1_000
  return {
    // Nor does Kombu encode what goes to a topic.
    MessageBody: base64 && !target.topic ? Buffer.from(envelope).toString('base64') : ascii(envelope),
    ...(seconds === 0 ? {} : { DelaySeconds: seconds }),
    ...(target.fifo ? { MessageDeduplicationId: textOf(deduplication, DEDUPLICATION) ?? identities.of(message, headers) } : {}),
    ...(target.fifo || group !== undefined ? { MessageGroupId: textOf(group, GROUP) ?? 'default' } : {}),
    ...messageAttributes(attributes, holdBack ? { [DUE]: { DataType: 'Number', StringValue: String(now + delayMs) } } : {}),
  }
}

/** Bytes that count against the limits of SQS. */
export function sizeOf({ MessageBody, MessageAttributes = {} }: Entry): number {
  const attributes = Object.entries(MessageAttributes).reduce(
    (sum, [name, { DataType = '', StringValue = '', BinaryValue }]) =>
      sum + Buffer.byteLength(name) + DataType.length + Buffer.byteLength(StringValue) + (BinaryValue?.byteLength ?? 0),
    0,
  )
  return Buffer.byteLength(MessageBody) + attributes
}

/** Asked for with every message. */
export const SYSTEM_ATTRIBUTES = ['ApproximateReceiveCount', 'SentTimestamp', 'MessageGroupId'] as const

/** A message as it came, whatever wrote it. One that says it is an envelope and cannot be read throws why when its properties are looked at. */
export function readMessage(message: Message, queue: string): Envelope {
  const { Body: text = '', MessageAttributes: attributes } = message
  const decoded = decodeBase64(text)
  const read = readEnvelope(decoded ?? text, decoded !== undefined) ?? (decoded === undefined ? undefined : readEnvelope(text, false))
  if (read) return withGroup(read, message.Attributes?.MessageGroupId)
  // Kombu takes JSON out of base64 whoever wrote it; what else looks like base64 is a text.
  const source = decoded !== undefined && parsedOf(decoded) !== undefined ? decoded : text
  const { body, properties } = readForeign(source, parsedOf(source), attributeHeaders(attributes))
  const timestamp = Number(message.Attributes?.SentTimestamp)
  return withGroup(
    {
      exchange: '',
      routingKey: queue,
      body: Buffer.from(body),
      properties: { ...(Number.isNaN(timestamp) ? {} : { timestamp }), messageId: message.MessageId, ...properties },
      deliveryTag: message.MessageId ?? '',
      redelivered: false,
    },
    message.Attributes?.MessageGroupId,
  )
}

/** Milliseconds until a message that waits may be handled; 0 for any other. */
export function dueInMs({ MessageAttributes: attributes }: Message, now: number): number {
  const due = Number(attributes?.[DUE]?.StringValue ?? 0)
  return Number.isFinite(due) ? Math.max(0, due - now) : 0
}

/** Undefined for what is no envelope. `certain`: it came out of base64, where there is nothing else to be expected. */
function readEnvelope(text: string, certain: boolean): Envelope | undefined {
  let parsed: unknown
  try {
    parsed = parseEnvelope(text)
  } catch (error) {
    const begun = text.startsWith('{') && (certain || /^\{\s*"body"/.test(text))
    if (begun && error instanceof CodecError) return unreadable(text, error)
    return undefined
  }
  const inner = notificationText(parsed)
  if (inner !== undefined) return readEnvelope(inner, false)
  if (!isTable(parsed) || !('body' in parsed) || !isTable(parsed['properties']) || !('delivery_info' in parsed['properties']))
    return undefined
  try {
    // SQS has a tag of its own, so Kombu does without this one here.
    return envelopeFrom({ ...parsed, properties: { delivery_tag: '', ...parsed['properties'] } })
  } catch (error) {
    if (error instanceof CodecError) return unreadable(text, error)
    throw error
  }
}

/** A copy of the message belongs to its group. */
function withGroup(envelope: Envelope, group: string | undefined): Envelope {
  if (group === undefined) return envelope
  return {
    ...envelope,
    get properties() {
      const { properties } = envelope
      return { ...properties, headers: { ...properties.headers, [GROUP]: group } }
    },
  }
}

/** As Kombu tells it: what becomes the same text again. */
function decodeBase64(text: string): string | undefined {
  if (text === '' || text.length % 4 !== 0 || !/^[\w+/]{2}/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text && isUtf8(bytes) ? bytes.toString() : undefined
}

/** SQS takes what XML takes; Python writes JSON so anyway. */
function ascii(json: string): string {
  return json.replaceAll(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function messageAttributes(
  given: unknown,
  own: Record<string, MessageAttributeValue>,
): { MessageAttributes?: Record<string, MessageAttributeValue> } {
  if (given !== undefined && !isTable(given)) throw new CodecError(`Header "${ATTRIBUTES}" must be an object, got ${show(given)}`)
  const attributes = Object.fromEntries(Object.entries(given ?? {}).map(([name, value]) => [name, attributeOf(name, value)]))
  const all = { ...attributes, ...own }
  const count = Object.keys(all).length
  if (count > MOST_ATTRIBUTES) throw new CodecError(`A message has at most ${MOST_ATTRIBUTES} attributes on SQS, and this one ${count}`)
  return count === 0 ? {} : { MessageAttributes: all }
}

/** `{ DataType, StringValue }` as Kombu takes it, or a plain value. */
function attributeOf(name: string, value: unknown): MessageAttributeValue {
  if (typeof value === 'string') return { DataType: 'String', StringValue: value }
  if (typeof value === 'number' || typeof value === 'bigint') return { DataType: 'Number', StringValue: String(value) }
  if (value instanceof Uint8Array) return { DataType: 'Binary', BinaryValue: value }
  if (isTable(value) && typeof value['DataType'] === 'string') return value as unknown as MessageAttributeValue
  throw new CodecError(`Message attribute "${name}" must be a text, a number, bytes or { DataType, StringValue }, got ${show(value)}`)
}

function textOf(value: Headers[string], name: string): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  throw new CodecError(`Header "${name}" must be a text, got ${show(value)}`)
}

function secondsOf(value: Headers[string]): number {
  if (typeof value === 'number' && value >= 0 && Number.isSafeInteger(value)) return value
  throw new CodecError(`Header "${DELAY}" must be a whole number of seconds from 0, got ${show(value)}`)
}

function parsedOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
