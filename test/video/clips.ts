import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const execute = promisify(execFile)

export interface ClipOptions {
  readonly seconds?: number
  readonly size?: string
  readonly audio?: boolean
  /** Pictures per second: few, since each costs time here and again when it is converted. @default 10 */
  readonly rate?: number
  /** More ffmpeg arguments for the output. */
  readonly args?: readonly string[]
}

/** What costs the least, of the codec that MP4 has by default. */
const FAST = ['-c:v', 'libx264', '-preset', 'ultrafast']

/** A real clip, made by the system's ffmpeg; its container is what the file's name says. */
export async function makeClip(file: string, options: ClipOptions = {}): Promise<string> {
  const { seconds = 2, size = '640x360', audio = true, rate = 10, args = [] } = options
  const sound = audio ? ['-f', 'lavfi', '-i', `sine=frequency=440:duration=${seconds}`] : []
  await execute('ffmpeg', [
    '-v',
    'error',
    '-y',
    '-f',
    'lavfi',
    '-i',
    `testsrc2=duration=${seconds}:size=${size}:rate=${rate}`,
    ...sound,
    ...(args.includes('-c:v') ? [] : FAST),
    ...args,
    file,
  ])
  return file
}

/** A text file that calls itself a video. */
export async function makeText(file: string): Promise<string> {
  await writeFile(file, 'Dear reader, this is no video.\n'.repeat(50))
  return file
}

/** Noise as fast as it can be stored: large, and slow to convert. */
export function makeLongClip(file: string, seconds: number): Promise<string> {
  return makeClip(file, { seconds, size: '1920x1080', rate: 25, args: ['-crf', '30'] })
}
