import { InvalidArgumentError } from 'commander'

/** The value as a number; whether it is in range is the config's to say, with all its other problems. */
export function wholeNumber(value: string): number {
  if (!/^\d+$/.test(value)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(value)
}

const UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** `64MiB` in bytes. */
export function byteSize(value: string): number {
  const [, digits, unit = ''] = /^(\d{1,12})(KiB|MiB|GiB)?$/.exec(value) ?? []
  const bytes = Number(digits) * (UNITS[unit] ?? NaN)
  if (!Number.isSafeInteger(bytes)) throw new InvalidArgumentError('It must be a size, such as 500000, 64MiB or 2GiB.')
  return bytes
}
