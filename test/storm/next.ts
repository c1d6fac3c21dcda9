/** Next's standalone server: no dependency of ours, so it is installed and built by npm in a folder of its own, in pinned versions, once. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const PACKAGES = ['next@16.4.6', 'react@19.3.1', 'react-dom@19.3.1']

const FILES = {
  'package.json': '{ "private": true }\n',
  'next.config.mjs': "export default { output: 'standalone' }\n",
  'app/layout.js': 'export default ({ children }) => <html lang="en"><body>{children}</body></html>\n',
  'app/page/page.js': "export const dynamic = 'force-dynamic'\nexport default () => <main>{process.pid}</main>\n",
  'app/route.js': `export const dynamic = 'force-dynamic'
export const GET = () => Response.json({ pid: process.pid })
export const POST = async (request) => Response.json({ pid: process.pid, length: (await request.text()).length })
`,
  'app/events/route.js': `export const dynamic = 'force-dynamic'
export function GET() {
  let timer
  const body = new ReadableStream({
    start(controller) {
      timer = setInterval(() => controller.enqueue('data: ' + process.pid + '\\n\\n'), 50)
    },
    cancel: () => clearInterval(timer),
  })
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
}
`,
}

/** Resolves with the file that starts it. Rejects where npm cannot install or build it. */
export async function nextServer(): Promise<string> {
  const folder = join(tmpdir(), `omnibus-test-${PACKAGES.join('+')}`)
  const server = join(folder, '.next', 'standalone', 'server.js')
  if (existsSync(server)) return server
  for (const [name, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  const env = { ...process.env, NODE_ENV: 'production', NEXT_TELEMETRY_DISABLED: '1' }
  await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', '--save-exact', ...PACKAGES], { cwd: folder })
  await promisify(execFile)(join(folder, 'node_modules', '.bin', 'next'), ['build'], { cwd: folder, env })
  return server
}
