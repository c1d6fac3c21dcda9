/** A private cluster of Redis nodes. */
import { freePorts } from './ports.ts'
import { type RedisServer, SAFE, startRedis } from './redis.ts'
import { waitFor } from './wait.ts'

export interface RedisCluster extends AsyncDisposable {
  /** The first has all slots, unless they were moved; the others have none. */
  readonly nodes: readonly RedisServer[]
  /** The node where keys with this hash tag lie; the first where there are none. */
  holder(tag: string): Promise<RedisServer>
  /** Moves the slot of a hash tag key by key; `between` is awaited before each. */
  moveSlot(tag: string, from: RedisServer, to: RedisServer, between?: () => Promise<void>): Promise<void>
  /** Makes a node the replica of another, and resolves when it has its data. */
  replicate(replica: RedisServer, master: RedisServer): Promise<void>
}

export async function startRedisCluster(size: number): Promise<RedisCluster> {
  const ports = await freePorts(size)
  // A node that has lost its last slot stays a master.
  const alone = ['--cluster-allow-replica-migration', 'no', '--cluster-config-file', 'nodes.conf']
  const settings = (port: number) => [...SAFE, '--cluster-enabled', 'yes', '--cluster-port', String(port), ...alone]
  const nodes = await Promise.all(ports.map((port) => startRedis(settings(port))))
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]]
  const idOf = async (node: RedisServer): Promise<string> => String(await node.command('CLUSTER', 'MYID'))
  await first.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  for (const node of others) await node.command('CLUSTER', 'MEET', '127.0.0.1', String(first.port), String(ports[0]))
  for (const node of nodes) {
    const whole = async (): Promise<boolean> => {
      const info = String(await node.command('CLUSTER', 'INFO'))
      return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${size}\r`)
    }
    await waitFor(whole, { what: 'the cluster to be one' })
  }
  return {
    nodes,
    async holder(tag) {
      const slot = String(await first.command('CLUSTER', 'KEYSLOT', `{${tag}}`))
      const counts = await Promise.all(nodes.map((node) => node.command('CLUSTER', 'COUNTKEYSINSLOT', slot)))
      return nodes[counts.findIndex((count) => Number(count) > 0)] ?? first
    },
    async moveSlot(tag, from, to, between = async () => undefined) {
      const slot = String(await from.command('CLUSTER', 'KEYSLOT', `{${tag}}`))
      const [source, target] = [await idOf(from), await idOf(to)]
      await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source)
      await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target)
      for (;;) {
        const [key] = (await from.command('CLUSTER', 'GETKEYSINSLOT', slot, '1')) as string[]
        if (key === undefined) break
        await between()
        await from.command('MIGRATE', '127.0.0.1', String(to.port), key, '0', '5000')
      }
      for (const node of [to, from]) await node.command('CLUSTER', 'SETSLOT', slot, 'NODE', target)
    },
    async replicate(replica, master) {
      await replica.command('CLUSTER', 'REPLICATE', await idOf(master))
      const linked = async (): Promise<boolean> => String(await replica.command('INFO', 'replication')).includes('master_link_status:up')
      await waitFor(linked, { what: 'the replica to have its data' })
    },
    async [Symbol.asyncDispose]() {
      for (const node of nodes) await node[Symbol.asyncDispose]()
    },
  }
}
