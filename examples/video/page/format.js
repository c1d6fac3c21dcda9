const UNITS = ['B', 'kB', 'MB', 'GB', 'TB']

/** @param {number} bytes */
export function size(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3))
  const value = bytes / 1000 ** power
  return `${Number(value.toFixed(value < 10 ? 1 : 0))} ${UNITS[power]}`
}

/** `1:05` or `1:01:05`. @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds))
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

/** @param {string} iso */
export const timeOfDay = (iso) => clock.format(new Date(iso))
/** @param {string} iso */
export const dayAndTime = (iso) => day.format(new Date(iso))
/** @param {number} share 0 to 1 */
export const percent = (share) => `${Math.floor(share * 100)} %`
