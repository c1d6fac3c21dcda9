/** What a broker does otherwise than the suite expects, and why; docs/transports.md lists the same. */
import type { Exemption } from '../../src/testing/index.ts'

const release: Exemption = {
  test: 'settling: a release is not counted',
  reason: 'RabbitMQ 3.10 counts what is given back like what failed',
}

export const rabbitClassic: readonly Exemption[] = [release]

export const rabbitQuorum: readonly Exemption[] = [
  release,
  {
    test: 'consuming: lets one subscription be alone on its queue where asked',
    reason: "RabbitMQ 3.10's quorum queues let others in beside an exclusive consumer",
  },
  {
    test: 'settling: what is requeued comes before what has not been delivered yet',
    reason: "RabbitMQ 3.10's quorum queues put what is requeued at the end",
  },
  {
    test: 'draining: cancel ends deliveries, and what is held stays settleable',
    reason: "RabbitMQ 3.10's quorum queues count a cancelled consumer until it holds nothing",
  },
]

const unordered = 'SQS keeps an order in FIFO queues only: what comes again comes when it comes'
const unbounded = 'SQS bounds no queue by its length'

export const sqs: readonly Exemption[] = [
  { test: 'publishing: nacks what a full queue refuses, and takes messages again when there is room', reason: unbounded },
  { test: 'publishing: drops the oldest where a queue is bounded that way', reason: unbounded },
  { test: 'expiry and dead letters: moves what a bounded queue drops', reason: unbounded },
  { test: 'settling: what is requeued comes before what has not been delivered yet', reason: unordered },
  { test: 'settling: what a dead session held comes again, marked', reason: unordered },
  { test: 'consuming: sets no limit with prefetch 0', reason: 'several polls at once overtake each other, and SQS keeps no order anyway' },
  { test: 'consuming: lets one subscription be alone on its queue where asked', reason: 'SQS lets nobody be alone on a queue' },
  { test: 'settling: a release is not counted', reason: 'SQS counts whatever was received' },
  { test: 'expiry and dead letters: deletes a queue that nobody has used for its time', reason: 'SQS deletes no queue by itself' },
  { test: 'lifetimes: an auto-delete queue stays without consumers, and goes with its last', reason: 'SQS deletes no queue by itself' },
  { test: 'bodies and headers: carries bodies of any size, to the byte', reason: 'a message of SQS holds 1 MiB, base64 included' },
]
