import { OmnibusError } from '../../core/errors.ts'

/** The data folder or a file in it cannot be used, and was left as it is. A process ends with exit code 78 for it. */
export class StoreRefusedError extends OmnibusError {
  readonly code = 'ERR_OMNIBUS_STORE'
  readonly path: string

  constructor(path: string, why: string, options?: { cause?: unknown }) {
    super(`${path} ${why}`, options)
    this.path = path
  }
}
