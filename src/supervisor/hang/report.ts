import type { MasterLog } from '../log.ts'
import type { Process } from '../processes.ts'
import { diagnose } from './diagnose.ts'
import { keepProfile } from './keep.ts'

/** Says in the log what a process that hangs is doing, as far as it can be told, and keeps its profile. */
export async function reportHang(
  { pid, look }: Process,
  { label, root, log }: { readonly label: string; readonly root: string; readonly log: MasterLog },
): Promise<void> {
  const found = pid === undefined ? undefined : await diagnose(pid, look)
  if (!found) return
  const kept = found.profile && keepProfile(root, label, found.profile)
  log.write('error', `${label} is ${found.text}${kept?.text ?? ''}`, { unit: label, pid, ...found.details, ...kept?.details })
}
