import { join } from 'node:path'
import { expect, test } from 'vitest'
import { problems, root } from './house.ts'

test('a wrong command is told with what is wrong about it', () => {
  const fine = { command: ['/bin/sh'] }
  expect(
    problems({
      consumers: { video: { entry: './video.ts' } },
      exec: {
        video: fine,
        hooks: fine,
        a: { command: 'python3 worker.py' },
        b: { command: ['no-such-program'], cwd: 'gone', stopSignal: 'SIGTRM' },
        c: { ...fine, ready: 'listening' },
        d: { ...fine, ready: { prot: 80 } },
        e: { ...fine, ready: { port: 0 } },
        f: { ...fine, ready: { url: 'ftp://h' }, env: { A: 1 } },
        g: {},
      },
      preStart: [fine, { command: ['./migrate'], timeoutMs: -1 }],
    }),
  ).toEqual([
    "exec.a.command: a program and its arguments in a list, such as ['python3', 'worker.py']; \"python3 worker.py\"",
    'exec.b.stopSignal: one of SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 (did you mean "SIGTERM"?); "SIGTRM"',
    'exec.c.ready: \'started\', or one of { port }, { url } and { line }; "listening"',
    'exec.d.ready.prot: a known option; did you mean "port"?; an unknown option',
    'exec.e.ready.port: a whole number from 1 to 65535; 0',
    'exec.f.env.A: a text; 1',
    'exec.f.ready.url: an http:// URL; "ftp://h"',
    'preStart[1].timeoutMs: a whole number from 0; -1',
    'exec.video: a name that no consumer has; "video"',
    'exec.hooks: a name other than web, hooks, broker, config, gateway, preStart; "hooks"',
    `exec.b.cwd: a folder; ${join(root, 'gone')}, which is none`,
    'exec.b.command: a program that is there and may be run; "no-such-program"',
    'exec.g.command: a program and its arguments in a list; nothing',
    'preStart[1].command: a program that is there and may be run; "./migrate"',
  ])
})
