/** A web app, and three consumer threads beside it that the server hooks start and stop. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { defineConfig } from 'omnibus'

const THREADS = 3

const threads: Worker[] = []

export default defineConfig({
  bus: { url: process.env.BUS_URL },
  web: { entry: './app.ts', workers: 2 },
  hooks: {
    async onStarting() {
      // A thread that fails has no 'error' listener here, so it ends this process, which is then started again.
      for (let number = 1; number <= THREADS; number++)
        threads.push(new Worker(new URL('./event-bus.ts', import.meta.url), { workerData: { number } }))
      await Promise.all(threads.map((thread) => once(thread, 'message')))
    },

    async onExit() {
      await Promise.all(
        threads.map((thread) => {
          thread.postMessage('stop')
          return once(thread, 'exit')
        }),
      )
    },
  },
})
