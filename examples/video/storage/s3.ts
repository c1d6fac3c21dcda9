import { addAbortSignal, type Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { Disk } from 'flydrive'
import { S3Driver } from 'flydrive/drivers/s3'
import type { WriteOptions } from 'flydrive/types'
import type { StorageDriver } from '../storage.ts'

/** S3 takes parts from 5 MiB and at most 10,000 of them; of 8 MiB that is 78 GiB. */
const PART_BYTES = 8 * 2 ** 20

/** `s3://bucket?endpoint=…&region=…`; keys come from where the AWS SDK looks for them. The bucket must exist. */
export function openS3(url: URL): StorageDriver {
  const bucket = url.hostname
  const endpoint = url.searchParams.get('endpoint')
  const region = url.searchParams.get('region')
  // An endpoint of one's own seldom has a name per bucket, so the bucket goes into the path.
  const client = new S3Client({ ...(region && { region }), ...(endpoint && { endpoint, forcePathStyle: true }) })
  return {
    disk: new Disk(new InParts(client, bucket)),
    openRange: (key, { start, end }) => openObject(client, { Bucket: bucket, Key: key, Range: `bytes=${start}-${end}` }),
  }
}

async function openObject(client: S3Client, input: { Bucket: string; Key: string; Range: string }): Promise<Readable> {
  const { Body } = await client.send(new GetObjectCommand(input))
  if (!Body) throw new Error(`S3 sent no body for ${input.Key}`)
  return Body as Readable
}

/** flydrive sends a stream in one request, for which S3 wants its length beforehand; an upload's is not known. */
class InParts extends S3Driver {
  readonly #client: S3Client
  readonly #bucket: string

  constructor(client: S3Client, bucket: string) {
    super({ client, bucket, visibility: 'private', supportsACL: false })
    this.#client = client
    this.#bucket = bucket
  }

  override async putStream(key: string, contents: Readable, options?: WriteOptions): Promise<void> {
    const given: unknown = options?.['signal']
    const sending = given instanceof AbortSignal ? { abortSignal: given } : {}
    if (given instanceof AbortSignal) addAbortSignal(given, contents)
    const target = { Bucket: this.#bucket, Key: key }
    const created = await this.#client.send(new CreateMultipartUploadCommand({ ...target, ContentType: options?.contentType }), sending)
    const upload = { ...target, UploadId: created.UploadId }
    try {
      const parts: CompletedPart[] = []
      for await (const Body of inParts(contents)) {
        const PartNumber = parts.length + 1
        const { ETag } = await this.#client.send(new UploadPartCommand({ ...upload, PartNumber, Body }), sending)
        parts.push({ ETag, PartNumber })
      }
      await this.#client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: parts } }), sending)
    } catch (error) {
      contents.destroy()
      // Unfinished uploads cost money and are shown nowhere. If even this fails, the first error is the one to report.
      await this.#client.send(new AbortMultipartUploadCommand(upload)).catch(() => undefined)
      throw error
    }
  }
}

/** Full parts and a last, shorter one; one empty part for an empty stream. */
async function* inParts(contents: Readable): AsyncGenerator<Uint8Array> {
  let pending: Buffer[] = []
  let bytes = 0
  let sent = false
  for await (const chunk of contents as AsyncIterable<Uint8Array>) {
    pending.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    bytes += chunk.byteLength
    while (bytes >= PART_BYTES) {
      const whole = Buffer.concat(pending)
      yield whole.subarray(0, PART_BYTES)
      sent = true
      pending = [whole.subarray(PART_BYTES)]
      bytes = whole.length - PART_BYTES
    }
  }
  if (bytes > 0 || !sent) yield Buffer.concat(pending)
}
