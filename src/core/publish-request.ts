/** What a call of `publish()` means, before it is sent. */
import type { Codecs } from './codecs.ts'
import type { PublishOptions } from './connection-options.ts'
import { type Exchange, type Queue, isQueue } from './entities.ts'
import { ConfigError } from './errors.ts'
import type { MessageProperties } from './message.ts'
import { show } from './options.ts'
import type { PublishRequest } from './publisher.ts'

/** `(exchange, routingKey, payload, options?)`, or `(queue, payload, options?)`. A plain name is an exchange's. */
export type PublishArguments =
  | [routingKey: string, payload: unknown, options?: PublishOptions]
  | [payload: unknown, options?: PublishOptions]

/** Throws `ConfigError` for arguments that are none, `CodecError` for a payload that cannot be written. */
export function publishRequest(
  target: Exchange | Queue | string,
  rest: PublishArguments,
  { codecs, deadlineMs }: { readonly codecs: Codecs; readonly deadlineMs: number },
): PublishRequest {
  const toQueue = typeof target !== 'string' && isQueue(target)
  const routingKey = toQueue ? target.name : rest[0]
  if (typeof routingKey !== 'string') {
    throw new ConfigError('publish()', [{ path: 'routingKey', expected: 'a text', got: show(routingKey) }])
  }
  const options = (toQueue ? rest[1] : rest[2]) as PublishOptions | undefined
  const { body, contentType, contentEncoding, compression } = codecs.encode(toQueue ? rest[0] : rest[1], options?.compression)
  const written = { persistent: true, contentType, contentEncoding }
  return {
    exchange: typeof target === 'string' ? target : toQueue ? '' : target.name,
    routingKey,
    body,
    // Most messages have no options, and then two copies less.
    properties: options === undefined ? written : propertiesOf(written, options, compression),
    mustRoute: options?.mandatory ?? true,
    deadlineMs: options?.deadlineMs ?? deadlineMs,
    signal: options?.signal,
  }
}

function propertiesOf(written: MessageProperties, options: PublishOptions, compression: string | undefined): MessageProperties {
  const { compression: _compression, deadlineMs: _deadlineMs, mandatory: _mandatory, signal: _signal, ...properties } = options
  if (compression === undefined) return { ...written, ...properties }
  return { ...written, ...properties, headers: { ...properties.headers, compression } }
}
