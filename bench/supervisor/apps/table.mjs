/** The table, read once into memory that threads share. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'

export default function load() {
  const file = openSync(process.env.BENCH_SHARED_TABLE, 'r')
  const table = new Uint8Array(new SharedArrayBuffer(fstatSync(file).size))
  readSync(file, table)
  closeSync(file)
  return { table }
}
