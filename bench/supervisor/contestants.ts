/** Who is compared, and how each is started, reloaded and stopped: as its documentation says, with the same app. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../test/support/omnibus.ts'
import type { Rivals } from './rivals.ts'

export interface Wanted {
  readonly app: 'plain' | 'express'
  readonly workers: number
  readonly port: number
  /** A file that every worker holds in memory. */
  readonly table?: string
  /** After which a worker that hangs is to be replaced, where there is such a setting. Milliseconds. */
  readonly hangMs?: number
  /** Empty, for its files. */
  readonly folder: string
}

type Command = readonly [program: string, ...args: string[]]

export interface Recipe {
  readonly start: Command
  readonly env?: Readonly<Record<string, string>>
  readonly reload: NodeJS.Signals | Command
  /** Where TERM to what was started is not enough. */
  readonly stop?: Command
}

export interface Contestant {
  readonly name: string
  /** It replaces a worker that hangs, by a limit that can be set. */
  readonly replacesHung: boolean
  recipe(wanted: Wanted): Recipe
}

const apps = join(import.meta.dirname, 'apps')
const appFile = (app: Wanted['app']): string => join(apps, `${app}.mjs`)
const tableEnv = ({ table }: Wanted): Record<string, string> => (table === undefined ? {} : { BENCH_TABLE: table })

function omnibus(kind: 'process' | 'thread'): Contestant {
  return {
    name: `omnibus, ${kind === 'process' ? 'processes' : 'threads'}`,
    replacesHung: true,
    recipe(wanted) {
      const { app, workers, port, table, hangMs = 10_000, folder } = wanted
      const shares = kind === 'thread' && table !== undefined
      const entry = shares ? join(apps, 'shared.mjs') : appFile(app)
      const preload = shares ? { preload: join(apps, 'table.mjs') } : {}
      const web = { entry, bind: `127.0.0.1:${port}`, workers, kind, heartbeatTimeoutMs: hangMs, ...preload }
      const config = { bus: { url: 'amqp://127.0.0.1:1/' }, web, log: { level: 'error' } }
      writeFileSync(join(folder, 'omnibus.config.mjs'), `export default ${JSON.stringify(config)}\n`)
      const command = join(root, 'dist', 'cli', 'main.js')
      return {
        start: [process.execPath, command, 'serve', join(folder, 'omnibus.config.mjs')],
        env: shares ? { BENCH_SHARED_TABLE: table } : tableEnv(wanted),
        reload: [process.execPath, command, 'reload', '--config', join(folder, 'omnibus.config.mjs')],
      }
    },
  }
}

function cluster(mode: 'round robin' | 'shared handle'): Contestant {
  return {
    name: `node:cluster, ${mode}`,
    replacesHung: false,
    recipe: (wanted) => ({
      start: [process.execPath, join(apps, 'cluster.mjs')],
      env: { BENCH_MODE: mode, BENCH_APP: appFile(wanted.app), WORKERS: String(wanted.workers), ...tableEnv(wanted) },
      reload: 'SIGHUP',
    }),
  }
}

function pm2({ folder: rivals, versions }: Rivals): Contestant {
  const command = join(rivals, 'node_modules', 'pm2', 'bin', 'pm2')
  return {
    name: `PM2 ${versions.pm2}`,
    replacesHung: false,
    recipe: (wanted) => ({
      start: [process.execPath, `${command}-runtime`, 'start', appFile(wanted.app), '-i', String(wanted.workers), '--name', 'bench'],
      env: { PM2_HOME: wanted.folder, ...tableEnv(wanted) },
      reload: [process.execPath, command, 'reload', 'bench'],
    }),
  }
}

function watt({ folder: rivals, versions }: Rivals): Contestant {
  const command = join(rivals, 'node_modules', 'wattpm', 'bin', 'cli.js')
  return {
    name: `Watt ${versions.wattpm}`,
    replacesHung: false,
    recipe(wanted) {
      // Its packages are looked for from the app's folder, so that lies beside them.
      const project = join(rivals, `project-${wanted.port}`)
      const app = join(project, 'main')
      mkdirSync(app, { recursive: true })
      const write = (path: string, value: unknown): void => writeFileSync(join(project, path), JSON.stringify(value))
      write('package.json', { name: 'bench', private: true })
      write('watt.json', {
        $schema: `https://schemas.platformatic.dev/wattpm/${versions.wattpm}.json`,
        server: { hostname: '127.0.0.1', port: wanted.port },
        logger: { level: 'error' },
        entrypoint: 'main',
        applications: [{ id: 'main', path: './main', workers: wanted.workers }],
      })
      write('main/package.json', { name: 'main', type: 'module', main: 'index.mjs' })
      write('main/watt.json', { $schema: `https://schemas.platformatic.dev/@platformatic/node/${versions.node}.json` })
      writeFileSync(join(app, 'index.mjs'), `import ${JSON.stringify(appFile(wanted.app))}\n`)
      return {
        start: [process.execPath, command, 'start', project],
        env: tableEnv(wanted),
        reload: [process.execPath, command, 'restart', 'bench', 'main'],
      }
    },
  }
}

const gunicorn: Contestant = {
  name: 'Gunicorn, sync, Flask',
  replacesHung: true,
  recipe: (wanted) => ({
    start: [
      '/usr/bin/gunicorn',
      '--chdir',
      apps,
      '-b',
      `127.0.0.1:${wanted.port}`,
      '-w',
      String(wanted.workers),
      '-t',
      String(Math.ceil((wanted.hangMs ?? 30_000) / 1_000)),
      '--log-level',
      'error',
      ...(wanted.table === undefined ? [] : ['--preload']),
      'flask_app:app',
    ],
    env: tableEnv(wanted),
    reload: 'SIGHUP',
  }),
}

/** A rival that could not be had is left out. */
export function contestants(rivals: Rivals | undefined, hasGunicorn: boolean): Contestant[] {
  return [
    omnibus('process'),
    omnibus('thread'),
    cluster('round robin'),
    cluster('shared handle'),
    ...(rivals ? [pm2(rivals), watt(rivals)] : []),
    ...(hasGunicorn ? [gunicorn] : []),
  ]
}
