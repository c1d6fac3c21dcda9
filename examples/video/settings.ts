import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What the environment may change. Sizes are whole numbers of bytes. */
export interface Settings {
  /** STORAGE_URL: `file:///folder` or `s3://bucket?endpoint=…&region=…`. @default `.omnibus/storage` beside this file */
  readonly storageUrl: string
  /** MAX_UPLOAD_BYTES @default 2 GB */
  readonly maxUploadBytes: number
  /** VIDEO_TEMP: where the work of one video lies while it lasts. @default a folder in the system's temporary one */
  readonly tempFolder: string
  /** MAX_TEMP_BYTES: what one video may use there. @default 8 GB */
  readonly maxTempBytes: number
}

/** Throws one error that names every variable that cannot be used. */
export function readSettings(environment: NodeJS.ProcessEnv = process.env): Settings {
  const problems: string[] = []
  const bytes = (name: string, fallback: number): number => {
    const text = environment[name]
    if (text === undefined || text === '') return fallback
    if (/^[1-9]\d{0,15}$/.test(text)) return Number(text)
    problems.push(`${name}: expected a whole number of bytes from 1, got ${JSON.stringify(text)}`)
    return fallback
  }
  const settings: Settings = {
    storageUrl: environment['STORAGE_URL'] || new URL('./.omnibus/storage/', import.meta.url).href,
    maxUploadBytes: bytes('MAX_UPLOAD_BYTES', 2e9),
    tempFolder: environment['VIDEO_TEMP'] || join(tmpdir(), 'omnibus-video'),
    maxTempBytes: bytes('MAX_TEMP_BYTES', 8e9),
  }
  problems.push(...urlProblems(settings.storageUrl))
  if (problems.length > 0) throw new Error(`The environment cannot be used:\n${problems.map((line) => `  ${line}`).join('\n')}`)
  return settings
}

function urlProblems(text: string): string[] {
  const expected = 'STORAGE_URL: expected file:///folder or s3://bucket?endpoint=…&region=…'
  if (!URL.canParse(text)) return [`${expected}, got ${JSON.stringify(text)}`]
  const url = new URL(text)
  if (url.protocol === 'file:') {
    try {
      fileURLToPath(url)
      return []
    } catch {
      return [`${expected}, got a file URL that names another host`]
    }
  }
  if (url.protocol !== 's3:') return [`${expected}, got the scheme ${url.protocol}`]
  // Keys in a URL end up in logs and process lists; the AWS SDK reads them from its own places.
  if (url.username || url.password)
    return ['STORAGE_URL: expected the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, got them in the URL']
  if (!url.hostname || !['', '/'].includes(url.pathname)) return [`${expected}, got no bucket or a path after it`]
  const unknown = [...url.searchParams.keys()].filter((name) => name !== 'endpoint' && name !== 'region')
  return unknown.map((name) => `STORAGE_URL: expected the parameters endpoint and region, got ${name}`)
}
