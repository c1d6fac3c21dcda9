/** Core's dead letters, of messages whose properties are still as they came. */
import { circles as circlesBack, type Death, deadLetter as letterOf } from '../../core/dead-letter.ts'
import type { Message } from './message.ts'
import { decodeProperties, encodeProperties } from './properties.ts'
import { copies } from './routing.ts'

export function deadLetter(message: Message, death: Death): Message {
  const properties = decodeProperties(message.properties)
  const letter = letterOf({ ...message, properties }, death, [message.routingKey, ...copies(properties.headers ?? {}, 'CC')])
  return { ...letter, properties: encodeProperties(letter.properties), body: message.body }
}

export const circles = (letter: Message, queue: string): boolean => circlesBack(decodeProperties(letter.properties).headers ?? {}, queue)
