/** What both sides agree on. The other side's half is flask_app/bus.py. */
import { event, queue } from 'omnibus'
import { z } from 'zod'

export const GreetingSent = event('greeting.sent.v1', { schema: z.object({ text: z.string() }) })
export const GreetingAnswered = event('greeting.answered.v1', { schema: z.object({ text: z.string(), answer: z.string() }) })

export const answers = queue('answers', { listensTo: [GreetingAnswered] })

/**
 * The queue of the Flask app, declared here too so that it misses nothing before its first start. Kombu declares
 * classic queues, and both sides must declare the same.
 */
export const greetings = queue('flask.greetings', { type: 'classic', listensTo: [GreetingSent] })
