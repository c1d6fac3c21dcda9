/** `POST /signups` with `{ "email": … }` publishes an event, which mail.ts consumes. */
import { Hono } from 'hono'
import { createBus, ValidationError } from 'omnibus'
import { mail, UserSignedUp } from './contracts.ts'

const bus = createBus({ declares: [mail] })
const app = new Hono()

app.post('/signups', async (context) => {
  const { id } = await bus.publish(UserSignedUp, await context.req.json())
  return context.json({ id }, 202)
})

app.onError((error, context) => {
  if (error instanceof ValidationError) return context.json({ error: error.message }, 400)
  throw error
})

export default app
