/** Users that may connect from anywhere, with hashed passwords, in `<data>/users.json`. */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../core/errors.ts'
import { StoreRefusedError } from './store/refused.ts'

/** Cost of one guess: some 30 ms and 16 MiB (RFC 7914 §2). */
const COST = { N: 16_384, r: 8, p: 1 } as const
const HASH_BYTES = 32

/** By name: `scrypt$N$r$p$salt$hash`, the last two in base64. */
type Users = Readonly<Record<string, string>>

const pathOf = (data: string): string => join(data, 'users.json')

/** Adds a user, or gives one that is there a new password. Throws `StoreRefusedError`. */
export async function setUser(data: string, name: string, password: string): Promise<void> {
  const salt = randomBytes(16)
  const hash = await hashed(password, salt, COST)
  const encoded = ['scrypt', COST.N, COST.r, COST.p, salt.toString('base64'), hash.toString('base64')].join('$')
  write(data, { ...readUsers(data), [name]: encoded })
}

/** False when there was none. Throws `StoreRefusedError`. */
export function removeUser(data: string, name: string): boolean {
  const { [name]: removed, ...others } = readUsers(data)
  if (removed !== undefined) write(data, others)
  return removed !== undefined
}

/** Throws `StoreRefusedError`. */
export const userNames = (data: string): readonly string[] => Object.keys(readUsers(data))

/** Whether it is a user of the folder as it is now. Rejects with `StoreRefusedError`. */
export async function isUser(data: string, name: string, password: string): Promise<boolean> {
  const users = readUsers(data)
  // An unknown name takes as long as a wrong password.
  const known = Object.hasOwn(users, name) ? users[name] : undefined
  const [kind, n, r, p, salt, hash] = (known ?? `scrypt$${COST.N}$${COST.r}$${COST.p}$AAAA$`).split('$')
  if (kind !== 'scrypt' || salt === undefined || hash === undefined) {
    throw new StoreRefusedError(pathOf(data), `has a password of user "${name}" that cannot be read`)
  }
  const expected = Buffer.from(hash, 'base64')
  const got = await hashed(password, Buffer.from(salt, 'base64'), { N: Number(n), r: Number(r), p: Number(p) })
  return expected.length === got.length && timingSafeEqual(got, expected)
}

function readUsers(data: string): Users {
  const path = pathOf(data)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'code') === 'ENOENT') return {}
    throw new StoreRefusedError(path, `cannot be read: ${messageOf(error)}`, { cause: error })
  }
  const users = parsed(text)
  if (!users) throw new StoreRefusedError(path, 'is not a JSON object of user names and hashed passwords')
  return users
}

function parsed(text: string): Users | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    const entries: [string, unknown][] = Object.entries(value)
    return entries.every((entry): entry is [string, string] => typeof entry[1] === 'string') ? Object.fromEntries(entries) : undefined
  } catch {
    return undefined
  }
}

function write(data: string, users: Users): void {
  const path = pathOf(data)
  try {
    // In one step, so that a broker never reads half of it.
    writeFileSync(`${path}.new`, `${JSON.stringify(users, undefined, 2)}\n`, { mode: 0o600 })
    renameSync(`${path}.new`, path)
  } catch (error) {
    throw new StoreRefusedError(path, `cannot be written: ${messageOf(error)}`, { cause: error })
  }
}

function hashed(password: string, salt: Buffer, cost: { N: number; r: number; p: number }): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize(), salt, HASH_BYTES, { ...cost, maxmem: 64 * 1024 * 1024 }, (error, key) => {
      if (error) reject(error)
      else resolve(key)
    })
  })
}
