#!/usr/bin/env node
/** The `omnibus` command. Nothing is imported before the Node version is known to be one that can read it. */
const NEEDED: readonly [major: number, minor: number] = [24, 19]

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  process.stderr.write(
    `omnibus needs Node ${NEEDED.join('.')} or newer; this is ${process.versions.node} (${process.execPath}).\n` +
      'Install a newer one from https://nodejs.org, or with your version manager.\n',
  )
  process.exitCode = 78
} else {
  const { becomeInit } = await import('./init.ts')
  becomeInit()
  const { runProgram } = await import('./program.ts')
  process.exitCode = await runProgram(process.argv.slice(2))
}
