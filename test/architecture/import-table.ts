/** Who may import whom: the table of CONTRIBUTING as data. */

export interface Room {
  /** Rooms, or single files, whose values it may use. A trailing slash is a folder. */
  readonly values: readonly string[]
  /** Those it may import types of, besides. */
  readonly types?: readonly string[]
  /** Node's modules: those without I/O are open to all, and `any` is all. */
  readonly builtins?: readonly string[] | 'any'
  /** npm's packages. */
  readonly packages?: readonly string[] | 'any'
}

/** Without files, sockets, processes or timers. */
export const pureBuiltins = [
  'node:assert',
  'node:assert/strict',
  'node:buffer',
  'node:crypto',
  'node:diagnostics_channel',
  'node:path',
  'node:url',
  'node:util',
  'node:zlib',
]

/** What of core holds no messaging. */
const plainCore = ['src/core/errors.ts', 'src/core/options.ts', 'src/core/redact.ts']

/** By folder or file; the longest that fits counts. A room may always import itself. */
export const rooms: Readonly<Record<string, Room>> = {
  'src/core/': { values: [] },
  'src/amqp/': { values: ['src/core/'], builtins: ['node:net', 'node:tls'] },
  'src/broker/': { values: ['src/core/', 'src/amqp/'], builtins: 'any' },
  'src/transports/kit/': { values: ['src/core/'], builtins: ['node:fs/promises'] },
  'src/transports/amqp/': { values: ['src/core/', 'src/transports/kit/', 'src/amqp/'], builtins: ['node:fs', 'node:fs/promises'] },
  // Starts a broker for a script that runs alone.
  'src/transports/amqp/builtin.ts': {
    values: ['src/core/', 'src/transports/kit/', 'src/transports/amqp/', 'src/amqp/'],
    builtins: ['node:fs', 'node:fs/promises', 'node:child_process'],
  },
  'src/transports/memory/': { values: ['src/core/', 'src/transports/kit/', 'src/broker/engine/'] },
  'src/transports/redis/': { values: ['src/core/', 'src/transports/kit/'], builtins: ['node:fs/promises'], packages: ['redis'] },
  'src/transports/sqs/': { values: ['src/core/', 'src/transports/kit/'], packages: ['@aws-sdk/client-sns', '@aws-sdk/client-sqs'] },
  'src/transports/table.ts': { values: ['src/core/', 'src/transports/'] },
  'src/bus/': { values: ['src/core/'], packages: ['@standard-schema/spec'] },
  // Clients of databases come from the user; Node's own is loaded when it is first used.
  'src/databases/': { values: ['src/core/', 'src/bus/'], builtins: ['node:sqlite'] },
  'src/testing/': { values: ['src/core/', 'src/bus/', 'src/transports/memory/'] },
  // A queue in the config is what its consumers import.
  'src/config/': { values: [...plainCore, 'src/core/host.ts', 'src/core/entities.ts'], types: ['src/bus/'], builtins: 'any' },
  // For the supervisor, which counts workers, and the workers, which count requests.
  'src/metrics/': { values: ['src/core/peer.ts'], types: ['src/config/'], packages: ['hot-shots'] },
  'src/supervisor/': {
    values: [...plainCore, 'src/core/clock.ts', 'src/core/host.ts', 'src/metrics/'],
    types: ['src/config/'],
    builtins: 'any',
  },
  'src/worker/': {
    values: [
      'src/core/',
      'src/config/',
      'src/bus/',
      'src/broker/',
      'src/metrics/',
      'src/transports/table.ts',
      'src/index.ts',
      'src/supervisor/protocol.ts',
      // A thread that hangs is read by its host as a process is by the master.
      'src/supervisor/hang/',
    ],
    builtins: 'any',
  },
  'src/cli/': { values: ['src/', 'package.json'], builtins: 'any', packages: ['commander'] },
  'src/index.ts': { values: ['src/core/', 'src/bus/', 'src/databases/', 'src/config/', 'src/transports/table.ts'] },
  // By the package's name, so that they test what it exports.
  'examples/': { values: [], builtins: 'any', packages: 'any' },
  'bench/': { values: ['test/support/'], builtins: 'any', packages: 'any' },
}
