import type { MasterSignal } from './events.ts'

const SIGNALS: readonly MasterSignal[] = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGTTIN', 'SIGTTOU', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH']

/**
 * Calls back for each of them, which also takes their default action away: as PID 1 a process gets no signal it has not
 * asked for, and USR1 would start Node's debugger. Returns what undoes it.
 */
export function onMasterSignals(listener: (signal: MasterSignal) => void): () => void {
  const listeners = SIGNALS.map((signal) => [signal, () => listener(signal)] as const)
  for (const [signal, heard] of listeners) process.on(signal, heard)
  return () => {
    for (const [signal, heard] of listeners) process.off(signal, heard)
  }
}
