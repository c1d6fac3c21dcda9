import { spawn } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'

export interface Tools {
  readonly ffmpeg: string
  /** npm's ffmpeg comes without one; then `ffmpeg -i` is asked instead. */
  readonly ffprobe: string | undefined
}

/** FFMPEG_PATH and FFPROBE_PATH, else the system's, else npm's. Throws an error that says what to install. */
export async function findTools(environment: NodeJS.ProcessEnv = process.env): Promise<Tools> {
  const ffprobe = environment['FFPROBE_PATH'] || (await onPath('ffprobe', environment))
  const ffmpeg = environment['FFMPEG_PATH'] || (await onPath('ffmpeg', environment))
  if (ffmpeg) return { ffmpeg, ffprobe }
  try {
    const { default: installer } = await import('@ffmpeg-installer/ffmpeg')
    return { ffmpeg: installer.path, ffprobe }
  } catch (cause) {
    throw new Error('ffmpeg was not found: install it (apt-get install ffmpeg), or set FFMPEG_PATH', { cause })
  }
}

async function onPath(name: string, environment: NodeJS.ProcessEnv): Promise<string | undefined> {
  for (const folder of (environment['PATH'] ?? '').split(delimiter).filter(Boolean)) {
    const file = join(folder, name)
    const runs = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (runs) return file
  }
  return undefined
}

/** A program of ffmpeg's ended with an error; `message` is the end of what it said. */
export class FfmpegError extends Error {
  override readonly name = 'FfmpegError'
  /** Where its files were to be written there is no space left. */
  readonly full: boolean
  /** Somebody ended it, as a machine does that is out of memory. */
  readonly killed: boolean

  constructor(message: string, options: { killed?: boolean } = {}) {
    super(message)
    this.killed = options.killed ?? false
    this.full = /No space left on device|Disk quota exceeded/i.test(message)
  }

  /** Without the file's name, which is this machine's business. */
  get lastLine(): string {
    const line = this.message.split('\n').findLast((text) => text.trim() !== '') ?? ''
    return line.replaceAll(/(?:file:)?\/\S+?:? /g, '').trim()
  }
}

export interface RunOptions {
  /** Aborting kills the program, which then rejects with the signal's reason. */
  readonly signal: AbortSignal
  readonly onLine?: (line: string) => void
  /** Bad input makes ffmpeg talk; `ffmpeg -i` ends with an error although it told all. @default false */
  readonly anyExit?: boolean
}

const SAID_BYTES = 16_384

/** Runs a program and resolves with the end of what it said on stderr, and all of stdout unless `onLine` takes it. */
export async function run(program: string, args: readonly string[], options: RunOptions): Promise<{ stdout: string; stderr: string }> {
  const { signal, onLine, anyExit = false } = options
  signal.throwIfAborted()
  // It stays in this process's group, so that whoever ends the group ends it too; a pipe that broke would not stop it.
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' })
  let stdout = ''
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => void (stderr = (stderr + text).slice(-SAID_BYTES)))
  if (onLine) createInterface(child.stdout).on('line', onLine)
  else child.stdout.setEncoding('utf8').on('data', (text: string) => void (stdout += text))
  const [code, killer] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', (error) => {
      // 'close' follows an abort, and only then is the program gone and its files are still.
      if (!signal.aborted) reject(error)
    })
    child.once('close', (...ended) => resolve(ended))
  })
  signal.throwIfAborted()
  if (code === 0 || (anyExit && code !== null)) return { stdout, stderr }
  const end = code === null ? `by ${killer}` : `with code ${code}`
  throw new FfmpegError(stderr.trim() || `${program} ended ${end}`, { killed: code === null })
}

/**
 * For input from strangers: files only, and no format that names other files (playlists, ffconcat) or calls any text a
 * video (tty), or an upload could read this machine's files and network.
 */
export const distrust: readonly string[] = [
  '-protocol_whitelist',
  'file',
  '-format_whitelist',
  'mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,ogg,asf,h264,hevc,ivf,mxf,gif,wtv,rm,dv,nut',
]

export interface Probe {
  /** ffmpeg's name of the container, e.g. `matroska,webm`. */
  readonly format: string
  /** Undefined where the file does not say, as raw streams do not. */
  readonly durationSeconds: number | undefined
  readonly video: { readonly codec: string; readonly width: number; readonly height: number } | undefined
  readonly audio: { readonly codec: string } | undefined
}

/** What is in the file. Rejects with `FfmpegError` when it is nothing ffmpeg may read. */
export async function probe(tools: Tools, file: string, signal: AbortSignal): Promise<Probe> {
  if (!tools.ffprobe) {
    const { stderr } = await run(tools.ffmpeg, ['-hide_banner', ...distrust, '-i', file], { signal, anyExit: true })
    return readBanner(stderr)
  }
  const args = ['-v', 'error', ...distrust, '-print_format', 'json', '-show_format', '-show_streams', file]
  return readProbe((await run(tools.ffprobe, args, { signal })).stdout)
}

function readProbe(json: string): Probe {
  const { format, streams = [] } = JSON.parse(json) as {
    format?: { format_name?: string; duration?: string }
    streams?: { codec_type?: string; codec_name?: string; width?: number; height?: number; disposition?: { attached_pic?: number } }[]
  }
  // A picture attached to music is a video stream to ffprobe, and no video to anyone else.
  const video = streams.find((stream) => stream.codec_type === 'video' && stream.disposition?.attached_pic !== 1)
  const audio = streams.find((stream) => stream.codec_type === 'audio')
  const seconds = Number(format?.duration)
  return {
    format: format?.format_name ?? 'unknown',
    durationSeconds: seconds > 0 ? seconds : undefined,
    video: video?.width && video.height ? { codec: video.codec_name ?? 'unknown', width: video.width, height: video.height } : undefined,
    audio: audio && { codec: audio.codec_name ?? 'unknown' },
  }
}

/** Reads what `ffmpeg -i` says of its input. Throws `FfmpegError` when it says there is none. */
export function readBanner(said: string): Probe {
  const format = /^Input #0, (.+), from /m.exec(said)?.[1]
  if (!format) throw new FfmpegError(said.trim())
  const [, hours, minutes, seconds] = /^ {2}Duration: (\d+):(\d+):([\d.]+)/m.exec(said) ?? []
  const streams = said.split('\n').filter((line) => /^ {2,4}Stream #0:/.test(line))
  const video = streams.find((line) => line.includes(': Video: ') && !line.includes('(attached pic)'))
  const [, width, height] = /, (\d+)x(\d+)[ ,]/.exec(`${video ?? ''},`) ?? []
  const audio = streams.find((line) => line.includes(': Audio: '))
  const codec = (line: string): string => /: (?:Video|Audio): (\w+)/.exec(line)?.[1] ?? 'unknown'
  const duration = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)
  return {
    format,
    durationSeconds: duration > 0 ? duration : undefined,
    video: video && width && height ? { codec: codec(video), width: Number(width), height: Number(height) } : undefined,
    audio: audio === undefined ? undefined : { codec: codec(audio) },
  }
}
