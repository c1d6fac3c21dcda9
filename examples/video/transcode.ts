import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { distrust, type Probe, probe, run, type Tools } from './ffmpeg.ts'

export interface Conversion {
  readonly tools: Tools
  readonly input: string
  /** Where the outputs go. */
  readonly folder: string
  readonly signal: AbortSignal
}

/** The 480p H.264 MP4 with AAC sound: plays in every browser, and from the first bytes on. Never enlarges. */
export async function makeVideo(conversion: Conversion, source: Probe, onProgress: (share: number) => void): Promise<string> {
  const { tools, input, folder, signal } = conversion
  const output = join(folder, 'video.mp4')
  const args = [
    ['-hide_banner', '-v', 'error', '-nostdin', '-y', ...distrust, '-i', input],
    ['-map', '0:V:0', '-map', '0:a:0?', '-sn', '-dn', '-map_metadata', '-1'],
    // The shorter side becomes 480, so that upright videos keep their detail; H.264 in 4:2:0 wants even sides.
    ['-vf', "scale='if(gt(iw,ih),-2,max(2,trunc(min(480,iw)/2)*2))':'if(gt(iw,ih),max(2,trunc(min(480,ih)/2)*2),-2)',setsar=1"],
    ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '23', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-b:a', '128k', '-ac', '2'],
    ['-movflags', '+faststart', '-progress', 'pipe:1', '-nostats', output],
  ].flat()
  await run(tools.ffmpeg, args, { signal, onLine: (line) => report(line, source.durationSeconds, onProgress) })
  return output
}

/** Lines are `key=value` (ffmpeg's manual, "-progress"); `out_time_us` is `N/A` before the first frame. */
function report(line: string, durationSeconds: number | undefined, onProgress: (share: number) => void): void {
  const match = /^out_time_us=(\d+)$/.exec(line)
  if (match && durationSeconds) onProgress(Math.min(1, Number(match[1]) / 1e6 / durationSeconds))
}

/** One telling frame from the first half, or the very first where there is none: the picture may end before the sound. */
export async function makePoster(conversion: Conversion, durationSeconds: number): Promise<string> {
  const output = join(conversion.folder, 'poster.jpg')
  await takeFrame(conversion, durationSeconds * 0.2, output)
  if (!(await isWritten(output))) await takeFrame(conversion, 0, output)
  return written(output)
}

async function takeFrame({ tools, input, signal }: Conversion, seconds: number, output: string): Promise<void> {
  const args = [
    ['-hide_banner', '-v', 'error', '-nostdin', '-y', '-ss', seconds.toFixed(3), '-i', input],
    ['-vf', 'thumbnail=24', '-frames:v', '1', '-q:v', '3', output],
  ].flat()
  await run(tools.ffmpeg, args, { signal })
}

const COLUMNS = 4
const ROWS = 3

/** Twelve frames, evenly spread. Each is sought by itself, so that a long video costs no more than a short one. */
export async function makeContactSheet({ tools, input, folder, signal }: Conversion, durationSeconds: number): Promise<string> {
  const output = join(folder, 'contact-sheet.jpg')
  const count = COLUMNS * ROWS
  const inputs = Array.from({ length: count }, (_, n) => ['-ss', ((durationSeconds * n) / count).toFixed(3), '-i', input])
  const frames = inputs.map((_, n) => `[${n}:v]trim=end_frame=1,setpts=PTS-STARTPTS,scale=240:-2[f${n}]`)
  const joined = `${inputs.map((_, n) => `[f${n}]`).join('')}concat=n=${count}:v=1:a=0,tile=${COLUMNS}x${ROWS}:padding=4:margin=4:color=0x14161a`
  const args = [
    ['-hide_banner', '-v', 'error', '-nostdin', '-y', ...inputs.flat()],
    ['-filter_complex', `${frames.join(';')};${joined}`, '-frames:v', '1', '-q:v', '4', output],
  ].flat()
  await run(tools.ffmpeg, args, { signal })
  return written(output)
}

/** Of a made video; its length is what was written, which the source may have told wrongly. */
export async function measure(
  { tools, signal }: Conversion,
  file: string,
): Promise<{ durationSeconds: number; width: number; height: number }> {
  const { durationSeconds = 0, video } = await probe(tools, file, signal)
  if (!video) throw new Error(`${file} has no video stream, although it was just made`)
  return { durationSeconds, width: video.width, height: video.height }
}

/** ffmpeg ends well without having written a picture when it found no frame where it looked. */
async function written(file: string): Promise<string> {
  if (await isWritten(file)) return file
  throw new Error(`ffmpeg made no ${file}`)
}

async function isWritten(file: string): Promise<boolean> {
  return stat(file).then(
    ({ size }) => size > 0,
    () => false,
  )
}
