import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../core/errors.ts'
import { StoreRefusedError } from './store/refused.ts'

/** The password in `<data>/password`, made on first use, for clients from other machines. Throws `StoreRefusedError`. */
export function keptPassword(data: string): string {
  const path = join(data, 'password')
  try {
    writeFileSync(path, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if (!(error instanceof Error && Reflect.get(error, 'code') === 'EEXIST')) {
      throw new StoreRefusedError(path, `cannot be written: ${messageOf(error)}`, { cause: error })
    }
  }
  const password = readFileSync(path, 'utf8').trim()
  if (password === '') throw new StoreRefusedError(path, 'is empty; delete it to have a new password made')
  return password
}
