import type { UnitContext } from './unit.ts'

/**
 * The result of `work`, unless the process or thread runs out of things to do first: then `work` can never settle, and what `onIdle`
 * returns or throws stands in. Without this, a script that ends without listening would only be noticed by a timeout.
 */
export async function idle<T>(channel: UnitContext['channel'], work: Promise<T>, onIdle: () => never): Promise<T> {
  const { promise: stuck, reject } = Promise.withResolvers<never>()
  const notice = (): void => {
    // Before anything else, or the process ends.
    channel.ref()
    try {
      onIdle()
    } catch (error) {
      reject(error)
    }
  }
  process.once('beforeExit', notice)
  channel.unref()
  try {
    return await Promise.race([work, stuck])
  } finally {
    process.off('beforeExit', notice)
    channel.ref()
  }
}
