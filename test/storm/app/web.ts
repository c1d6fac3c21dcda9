import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { WebSocketServer } from 'ws'

const server = createServer((request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => response.write(`data: ${process.pid}\n\n`), 50)
    response.on('close', () => clearInterval(timer))
    return
  }
  void buffer(request).then(({ length }) => {
    const answer = JSON.stringify({ pid: process.pid, length })
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length }).end(answer)
  })
})

new WebSocketServer({ server }).on('connection', (socket) => socket.on('message', (data) => socket.send(data)))

export default server
