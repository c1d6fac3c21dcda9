/** The least that takes messages by HTTP. target.ts COUNT: says its port, then "warm" after the first fifth of so many requests, and "done" after all. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const count = Number(process.argv[2])
let seen = 0
const server = createServer((request, response) => {
  request.resume().once('end', () => {
    response.writeHead(204).end()
    seen++
    if (seen === Math.floor(count / 5)) process.stdout.write('warm\n')
    if (seen === count) process.stdout.write('done\n')
  })
}).listen(0, '127.0.0.1', () => process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`))
