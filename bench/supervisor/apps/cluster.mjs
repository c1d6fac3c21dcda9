/** node:cluster as its documentation has it, with a rolling restart on HUP: the new worker listens before the old one disconnects. */
import cluster from 'node:cluster'
import { once } from 'node:events'

const { BENCH_MODE, BENCH_APP, WORKERS } = process.env
cluster.schedulingPolicy = BENCH_MODE === 'shared handle' ? cluster.SCHED_NONE : cluster.SCHED_RR
cluster.setupPrimary({ exec: BENCH_APP })

let workers = Array.from({ length: Number(WORKERS) }, () => cluster.fork())

process.on('SIGHUP', () => void restart())
process.on('SIGTERM', () => process.exit())

async function restart() {
  const old = workers
  workers = []
  for (const worker of old) {
    const next = cluster.fork()
    workers.push(next)
    await once(next, 'listening')
    worker.disconnect()
  }
}
