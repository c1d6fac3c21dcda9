/** The app of every contestant in Node: it listens itself, and knows nothing of who runs it. */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { threadId } from 'node:worker_threads'
import { answer } from './answers.mjs'

// A table of its own in each worker, unless the supervisor shares one.
globalThis.table = process.env.BENCH_TABLE ? readFileSync(process.env.BENCH_TABLE) : undefined

createServer((request, response) => {
  const body = JSON.stringify(answer(request.url, `${process.pid}.${threadId}`))
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}).listen(Number(process.env.PORT), '127.0.0.1')
