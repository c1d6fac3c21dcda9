import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { run, type Tools } from '../ffmpeg.ts'
import type { WorkFolders } from '../work-folder.ts'

const SECONDS = 8
const MAX_BYTES = 64e6

/** Makes a short film with sound, each in its own colours and pitch, and hands it over as if it had been uploaded. */
export function makeSample<T>(
  tools: Tools,
  workFolders: WorkFolders,
  signal: AbortSignal,
  use: (name: string, body: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  const hue = Math.floor(Math.random() * 360)
  return workFolders.use(MAX_BYTES, signal, async (folder, whileAllowed) => {
    const file = join(folder, 'sample.mp4')
    const args = [
      ['-hide_banner', '-v', 'error', '-nostdin', '-y'],
      ['-f', 'lavfi', '-i', `testsrc2=duration=${SECONDS}:size=1280x720:rate=30,hue=h=${hue}`],
      ['-f', 'lavfi', '-i', `sine=frequency=${220 + hue}:duration=${SECONDS}`, '-af', 'volume=0.2'],
      ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-shortest', file],
    ].flat()
    await run(tools.ffmpeg, args, { signal: whileAllowed })
    return use(`sample-${hue}.mp4`, createReadStream(file))
  })
}
