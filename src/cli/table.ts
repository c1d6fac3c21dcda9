/** Tables and quantities for people. */

export type Cell = string | number

export function table(title: string, head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  if (rows.length === 0) return `\n${title}: none`
  const cells = rows.map((row) => row.map((value) => (typeof value === 'number' ? String(Math.round(value)) : printable(value))))
  const widths = head.map((name, column) => Math.max(name.length, ...cells.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) =>
        typeof rows[0]?.[column] === 'number' ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return [`\n${title}`, ...[head, ...cells].map((row) => `  ${line(row)}`)].join('\n')
}

/** Clients choose names, which must not write to a terminal what they like. */
export const printable = (text: string): string => text.replaceAll(/[\p{C}]/gu, '?')

/** Of memory or files. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes / 1024
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${value.toFixed(1)} ${units[unit]}`
}

export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60 / 24)} days`
}
