/** `POST /signups` with `{ "email": … }` publishes an event, which mail.ts consumes. */
import Fastify from 'fastify'
import { createBus, ValidationError } from 'omnibus'
import { mail, UserSignedUp } from './contracts.ts'

const bus = createBus({ declares: [mail] })
const app = Fastify()

app.post<{ Body: { email: string } }>('/signups', async (request, reply) => {
  const { id } = await bus.publish(UserSignedUp, request.body)
  return reply.status(202).send({ id })
})

app.setErrorHandler((error, _request, reply) => {
  if (error instanceof ValidationError) return reply.status(400).send({ error: error.message })
  throw error
})

export default app
