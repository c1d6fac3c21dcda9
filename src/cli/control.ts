import { Command, InvalidArgumentError } from 'commander'
import type { ControlRequest } from '../supervisor/control-protocol.ts'
import { EXIT } from '../supervisor/exit-codes.ts'
import { ask, type MasterFlags, REFUSED, withMasterFlags } from './find-master.ts'

type Finish = (code: number) => void

export function reload(finish: Finish): Command {
  return withMasterFlags(
    new Command('reload').description('take new code and config, as HUP does; waits for the end, and exits 1 where it is refused'),
  ).action(async (flags: MasterFlags) => finish(await carryOut(flags, { verb: 'reload' })))
}

export function stop(finish: Finish): Command {
  return withMasterFlags(
    new Command('stop').description('stop gracefully, as TERM does; waits for the end, and exits with the code of the master'),
  ).action(async (flags: MasterFlags) => finish(await carryOut(flags, { verb: 'stop' })))
}

export function restart(finish: Finish): Command {
  return withMasterFlags(
    new Command('restart')
      .description('replace the processes of a unit one after the other, each when the new one is ready; exits 1 where one cannot start')
      .argument('<UNIT>', 'web, hooks, the name of a consumer, or one process such as web.1'),
  ).action(async (unit: string, flags: MasterFlags) => finish(await carryOut(flags, { verb: 'restart', unit })))
}

export function scale(finish: Finish): Command {
  return withMasterFlags(
    new Command('scale')
      .description('change the number of processes, or threads, of web or of a consumer, until the next reload')
      .argument('<UNIT=N>', 'such as web=4', (value): { unit: string; size: number } => {
        const [, unit, size] = /^([^=]+)=(\d+)$/.exec(value) ?? []
        if (unit === undefined) throw new InvalidArgumentError('It must be UNIT=N, such as web=4.')
        return { unit, size: Number(size) }
      }),
  ).action(async (wanted: { unit: string; size: number }, flags: MasterFlags) =>
    finish(await carryOut(flags, { verb: 'scale', ...wanted })),
  )
}

async function carryOut(flags: MasterFlags, request: ControlRequest): Promise<number> {
  const reply = await ask(flags, request)
  if (typeof reply === 'number') return reply
  if (!reply.ok) {
    process.stderr.write(`${reply.error}\n`)
    return REFUSED
  }
  process.stdout.write(`${reply.message}\n`)
  return reply.code ?? EXIT.stopped
}
