/** The files of docs/deploy are copied as they are: what they name must be there, and their numbers must fit the configs beside them. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { omnibus, root, userFolder } from '../support/omnibus.ts'
import { freePort } from '../support/ports.ts'
import { run, runToEnd, type Running } from '../support/process.ts'
import { waitFor } from '../support/wait.ts'

const read = (name: string): string => readFileSync(join(root, 'docs', 'deploy', name), 'utf8')

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}
interface Container {
  readonly command: readonly string[]
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly lifecycle?: { readonly preStop: { readonly sleep: { readonly seconds: number } } }
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
}
interface Pod {
  readonly terminationGracePeriodSeconds: number
  readonly containers: readonly [Container]
}
interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: { readonly template: { readonly spec: Pod } }
}
interface Service {
  readonly command?: readonly string[]
  readonly stop_grace_period: string
  readonly healthcheck: { readonly test: readonly string[] }
}

const pods = parseAllDocuments(read('kubernetes.yaml'))
  .map((document) => document.toJS() as Manifest)
  .filter(({ kind }) => kind === 'Deployment')
  .map(({ metadata, spec }) => ({ name: metadata.name, pod: spec.template.spec }))
const services = Object.entries((parse(read('compose.yaml'), { merge: true }) as { services: Record<string, Service> }).services).filter(
  ([, { command }]) => command !== undefined,
)
const budgetMs = (config: string): number => Number(/gracefulTimeoutMs: ([\d_]+)/.exec(read(config))?.[1]?.replaceAll('_', ''))
const configIn = (command: readonly string[]): string => command.at(-1) ?? ''

describe('whoever stops it waits longer than its stop budget', () => {
  test.each(pods)('Kubernetes: $name', ({ pod }) => {
    const [{ command, lifecycle }] = pod.containers
    const preStopMs = (lifecycle?.preStop.sleep.seconds ?? 0) * 1_000
    expect(pod.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(budgetMs(configIn(command)) + preStopMs)
  })
  test.each(services)('compose: %s', (_, { command, stop_grace_period: grace }) => {
    expect(Number(/^(\d+)s$/.exec(grace)?.[1]) * 1_000).toBeGreaterThan(budgetMs(configIn(command!)))
  })
  test('systemd', () => {
    const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(read('omnibus.service'))?.[1])
    expect(seconds * 1_000).toBeGreaterThan(budgetMs('web.config.ts'))
  })
})

describe('what is started', () => {
  let folder: string
  let master: Running
  let probes: number

  beforeAll(async () => {
    probes = await freePort()
    folder = userFolder('deploy')
    const place = (name: string, text: string): void => writeFileSync(join(folder, name), text)
    for (const config of ['web.config.ts', 'video.config.ts']) place(config, read(config).replace(':9000', `:${probes}`))
    place('web.ts', "export default (request, response) => response.end('served')\n")
    place(
      'video.ts',
      "import { broadcast, event, on } from 'omnibus'\nexport default broadcast(on(event('deploy.tested'), () => undefined))\n",
    )
    master = omnibus(['serve', 'web.config.ts'], { cwd: folder, env: { PORT: String(await freePort()) } })
    await master.line(/Listening on/)
  })
  afterAll(() => master?.[Symbol.asyncDispose]())

  test('with PORT it listens on all interfaces', async () => {
    expect(await master.line(/Listening on/)).toContain('http://0.0.0.0:')
  })

  test.each(pods)('Kubernetes: the probes of $name are answered', async ({ pod }) => {
    const [container] = pod.containers
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
      const { path, port } = container[probe].httpGet
      expect(container.ports.find(({ name }) => name === port)?.containerPort).toBe(9000)
      await waitFor(async () => (await fetch(`http://127.0.0.1:${probes}${path}`)).ok, { what: `200 of ${path}` })
    }
  })

  test.each(services)('compose: the health check of %s tells ready from not', async (_, { healthcheck }) => {
    const [cmd, program, ...args] = healthcheck.test
    expect([cmd, program]).toEqual(['CMD', 'node'])
    const check = async (port: number): Promise<number | null> =>
      (
        await runToEnd(
          process.execPath,
          args.map((arg) => arg.replace(':9000', `:${port}`)),
        )
      ).code
    expect(await check(probes)).toBe(0)
    expect(await check(await freePort())).toBe(1)
  })

  const commands = [
    ...pods.map(({ name, pod }) => [`Kubernetes ${name}`, pod.containers[0].command] as const),
    ...services.map(([name, { command }]) => [`compose ${name}`, command!] as const),
    ['Dockerfile', JSON.parse(/^CMD (.*)$/m.exec(read('Dockerfile'))![1]!) as string[]] as const,
    ...['ExecStart', 'ExecReload'].map(
      (key) => [key, new RegExp(`^${key}=/srv/app/(.*)$`, 'm').exec(read('omnibus.service'))![1]!.split(' ')] as const,
    ),
  ]
  test.each(commands)('%s: the command is one, and its config is good', async (_, [program, command, ...args]) => {
    expect(program).toBe('node_modules/.bin/omnibus')
    const help = await runToEnd(process.execPath, [join(root, 'dist', 'cli', 'main.js'), command!, '--help'])
    expect(help.output).toContain(`Usage: omnibus ${command}`)
    for (const flag of args.filter((arg) => arg.startsWith('--'))) expect(help.output).toContain(flag)
    const config = args.find((arg) => arg.endsWith('.config.ts'))!
    await using checked = run(process.execPath, [join(root, 'dist', 'cli', 'main.js'), 'check', config], { cwd: folder })
    expect(await checked.exit()).toEqual({ code: 0, signal: null })
  })
})
