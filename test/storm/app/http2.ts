import { createServer } from 'node:http2'
import { buffer } from 'node:stream/consumers'

/** By prior knowledge, without TLS. */
export default createServer((request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => response.write(`data: ${process.pid}\n\n`), 50)
    response.on('close', () => clearInterval(timer))
    return
  }
  void buffer(request).then(({ length }) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ pid: process.pid, length }))
  })
})
