/** Packages that are needed for what is asked, and are not installed: nothing starts, and the command that installs them is told. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { bareProject } from '../support/bare-project.ts'
import { runToEnd } from '../support/process.ts'

let project: ReturnType<typeof bareProject>
beforeAll(() => {
  project = bareProject()
  writeFileSync(join(project.cwd, 'web.mjs'), "export default (request, response) => response.end('hello')\n")
})

const install = (what: string, name: string): string => `${what} needs the package "${name}". Install it with: npm install ${name}`

test.each([
  ["bus: { url: 'redis://127.0.0.1:1' }", install('A redis: URL', 'redis')],
  ["bus: { url: ['amqp://127.0.0.1:1', 'sqs://KEY:SECRET@127.0.0.1:1'] }", install('Amazon SQS', '@aws-sdk/client-sqs')],
  ["bus: { url: 'sqs://127.0.0.1:1?supports_fanout=true' }", install('supports_fanout in an sqs: URL', '@aws-sdk/client-sns')],
  ["bus: { url: 'amqp://127.0.0.1:1' }, statsd: {}", install('`statsd` in the config', 'hot-shots')],
])('under the supervisor: %s', async (config, expected) => {
  const { cwd, program } = project
  writeFileSync(join(cwd, 'omnibus.config.mjs'), `export default { ${config}, web: { entry: './web.mjs', bind: '127.0.0.1:0' } }\n`)
  const { code, output } = await runToEnd(process.execPath, [program, 'serve'], { cwd })
  expect(code).toBe(78)
  expect(output).toContain(expected.replaceAll('"', '\\"'))
  expect(output).not.toContain('web.1 is ready')
  expect(output).not.toContain('SECRET')
})

test('in a script alone', async () => {
  const { cwd } = project
  const script = "import { connect } from 'omnibus'\nawait connect('redis://127.0.0.1:1').ready({ deadlineMs: 600_000 })\n"
  writeFileSync(join(cwd, 'script.mjs'), script)
  const { code, output } = await runToEnd(process.execPath, [join(cwd, 'script.mjs')], { cwd })
  expect(code).toBe(1)
  expect(output).toContain(`MissingPeerError: ${install('A redis: URL', 'redis')}`)
})
