import { InvalidArgumentError } from 'commander'

/** The value as a number; whether it is in range is the config's to say, with all its other problems. */
export function wholeNumber(value: string): number {
  if (!/^\d+$/.test(value)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(value)
}
