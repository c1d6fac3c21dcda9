/** The broker's engine: exchanges, queues and consumers, without any input or output of its own. */
export type { Outcome } from './batch.ts'
export type { Channel, ChannelHandlers, ChannelStats, ConsumeOptions, GiveBack, Handed } from './channel.ts'
export { Engine, type EngineEvent, type EngineOptions, type QueueStats } from './engine.ts'
export { bodyInMemory } from './message.ts'
export type { BodyReader, BodySink, LargeBody, Message } from './message.ts'
export { decodeProperties, encodeProperties } from './properties.ts'
export { REPLY_TO } from './replies.ts'
