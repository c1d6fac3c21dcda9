/** `POST /signups` with `{ "email": … }` publishes an event, which mail.ts consumes. */
import express from 'express'
import { createBus, ValidationError } from 'omnibus'
import { mail, UserSignedUp } from './contracts.ts'

const bus = createBus({ declares: [mail] })
const app = express()
app.use(express.json())

// Express 5 passes on what an async handler throws.
app.post('/signups', async (request, response) => {
  const { id } = await bus.publish(UserSignedUp, request.body)
  response.status(202).json({ id })
})

const onError: express.ErrorRequestHandler = (error, _request, response, next) => {
  if (error instanceof ValidationError) response.status(400).json({ error: error.message })
  else next(error)
}
app.use(onError)

export default app
