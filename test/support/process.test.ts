import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { freePorts } from './ports.ts'
import { run, runToEnd } from './process.ts'
import { isAlive } from './processes.ts'
import { tempDir } from './run-folder.ts'
import { waitFor } from './wait.ts'

test('a program is heard, signalled and waited for', async () => {
  await using program = run('sh', ['-c', 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done'])
  expect(await program.line(/^up$/)).toBe('up')
  program.signal('SIGTERM')
  await program.line('bye')
  expect(await program.exit()).toEqual({ code: 3, signal: null })
})

test('a program that ends without the line is told at once, with what it wrote', async () => {
  await using program = run('sh', ['-c', 'echo something else; exit 7'])
  await expect(program.line('ready')).rejects.toThrow(/ended \(7\) without writing ready[^]*something else/)
})

test('a program that does not exist is told by name', async () => {
  await using program = run('no-such-program')
  await expect(program.line('ready')).rejects.toThrow(/no-such-program.*ENOENT/)
})

test('descendants are found and ended, also in sessions of their own', async () => {
  const program = run('sh', ['-c', 'setsid sleep 300 & echo $!; exit 0'])
  await program.exit()
  const pids = await waitFor(() => program.processes().length > 0 && program.processes(), { what: 'the grandchild to run' })
  await program[Symbol.asyncDispose]()
  for (const pid of pids) expect(isAlive(pid)).toBe(false)
})

test('nothing of the test runner reaches the program', async () => {
  const { output } = await runToEnd('env', [], { env: { GIVEN: 'yes' } })
  expect(output).toContain('GIVEN=yes')
  expect(output).not.toMatch(/^(VITEST|NODE_ENV|CI)=/m)
})

test('ports are different and folders are new', async () => {
  const ports = await freePorts(5)
  expect(new Set(ports).size).toBe(5)
  expect(existsSync(tempDir())).toBe(true)
})

test('a condition that never comes true fails with what was seen last', async () => {
  await expect(waitFor(() => false, { what: 'pigs to fly', deadlineMs: 60 })).rejects.toThrow(
    'waited 60 ms for pigs to fly; last seen: false',
  )
})
