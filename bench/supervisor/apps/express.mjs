import express from 'express'
import { threadId } from 'node:worker_threads'
import { answer } from './answers.mjs'

const app = express()
app.disable('x-powered-by')
app.disable('etag')
app.use((request, response) => void response.json(answer(request.url, `${process.pid}.${threadId}`)))
app.listen(Number(process.env.PORT), '127.0.0.1')
