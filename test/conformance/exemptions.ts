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
