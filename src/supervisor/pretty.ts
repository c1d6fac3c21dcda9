/** One line of a log as people read it, from a JSON line in pino's shape or from anything else a child wrote. */

const LEVELS: Readonly<Record<number, readonly [name: string, color: number]>> = {
  10: ['trace', 90],
  20: ['debug', 90],
  30: ['info', 32],
  40: ['warn', 33],
  50: ['error', 31],
  60: ['fatal', 31],
}
/** Errors that explain themselves: their stack shows our own code and is noise. */
const CLEAR = ['ConfigError', 'MissingPeerError', 'UnsupportedError', 'WorkerError', 'ConnectionError']

/** In an excerpt of sources, the line at fault and the caret below it. */
const EXCERPT = /^> +\d+ \|.*$|^ +\| *\^$/gm

export interface PrettyOptions {
  readonly color: boolean
  /** Stacks also of errors that explain themselves. */
  readonly stacks: boolean
}

export function prettyLine(label: string, line: string, { color, stacks }: PrettyOptions): string {
  const paint = (code: number, text: string): string => (color ? `\u001B[${code}m${text}\u001B[0m` : text)
  const record = parse(line)
  if (!record) return `${' '.repeat(8)} ${paint(36, label.padEnd(10))} ${line}`
  const [name, code] = LEVELS[record.level] ?? ['info', 32]
  const time = new Date(record.time).toTimeString().slice(0, 8)
  const stack =
    record.stack !== undefined && (stacks || !CLEAR.includes(record.errorType ?? ''))
      ? `\n${indent(record.stack.replaceAll(EXCERPT, (line) => paint(31, line)))}`
      : ''
  const level = name === 'info' ? '' : `${paint(code, name)} `
  return `${paint(90, time)} ${paint(36, (record.unit ?? label).padEnd(10))} ${level}${record.msg}${stack}`
}

interface LogRecord {
  readonly level: number
  readonly time: number
  readonly msg: string
  readonly unit: string | undefined
  readonly errorType: string | undefined
  readonly stack: string | undefined
}

function parse(line: string): LogRecord | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const { level, time, msg, unit, err } = JSON.parse(line) as Record<string, unknown>
    if (typeof level !== 'number' || typeof time !== 'number' || typeof msg !== 'string') return undefined
    const { type, stack } = (typeof err === 'object' && err !== null ? err : {}) as Record<string, unknown>
    return { level, time, msg, unit: textOr(unit), errorType: textOr(type), stack: textOr(stack) }
  } catch {
    return undefined
  }
}

function textOr(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '    ')
}
