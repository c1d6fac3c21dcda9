/** What lies in tags on the queues of SQS: read, written, and looked through for what other processes have declared. */
import type { Clock } from '../../core/clock.ts'
import type { Address } from './address.ts'
import type { Client } from './client.ts'
import type { Directory, KnownQueue } from './directory.ts'
import { SqsFailure } from './failure.ts'
import { sqsName } from './names.ts'
import { argumentsIn, bindingsIn, ownerIn, type Tags } from './tags.ts'

/** Queues read at a time. */
const READ_AT_ONCE = 5
/** Beyond the time of its owner, whoever finds an exclusive queue deletes it; clocks may differ. Milliseconds. */
const LEFT_OVER_MS = 60_000

export interface TaggingOptions {
  readonly client: Client
  readonly directory: Directory
  readonly address: Address
  readonly clock: Clock
  /** Deletes an exclusive queue whose owner died without a word. */
  readonly onLeftOver: (name: string, url: string) => Promise<void>
}

export interface Freshness {
  /** The list of all queues may be so old. Milliseconds. */
  readonly listMs: number
  /** The tags of a queue that was read before. Milliseconds. */
  readonly tagsMs: number
}

/** How old what we know of other processes' queues may be: SQS answers few questions about tags. */
export const USUAL: Freshness = { listMs: 10_000, tagsMs: 60_000 }
/** Where a message finds no queue. */
export const CLOSE: Freshness = { listMs: 1_000, tagsMs: 10_000 }
export const AT_ONCE: Freshness = { listMs: 0, tagsMs: 0 }

export class Tagging {
  readonly #client: Client
  readonly #directory: Directory
  readonly #address: Address
  readonly #clock: Clock
  readonly #onLeftOver: TaggingOptions['onLeftOver']

  constructor({ client, directory, address, clock, onLeftOver }: TaggingOptions) {
    this.#client = client
    this.#directory = directory
    this.#address = address
    this.#clock = clock
    this.#onLeftOver = onLeftOver
  }

  /** None where there are none, or we may not know. */
  async read(url: string): Promise<Tags> {
    return (await this.#readTags(url)) ?? {}
  }

  /** Reads a queue that is found for the first time; its declaration may still be under way, so that it counts as not read. */
  async learn(name: string, url: string): Promise<void> {
    this.#directory.setQueue(name, { ...this.#known(url, await this.read(url)), readAt: -Infinity })
  }

  /** `tags` is what the queue has. Without the right to write them, what is added holds for this process alone. */
  async add(name: string, url: string, tags: Tags, added: Tags): Promise<void> {
    const written = Object.keys(added).length === 0 || (await this.write(url, added))
    this.#directory.setQueue(name, this.#known(url, tags, written ? {} : added, added))
  }

  async remove(name: string, url: string, tags: Tags, keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.#permitted(() => this.#client.call((sqs) => sqs.untagQueue({ QueueUrl: url, TagKeys: [...keys] })))
    const without = (all: Tags): Tags => Object.fromEntries(Object.entries(all).filter(([key]) => !keys.includes(key)))
    this.#directory.setQueue(name, this.#known(url, without(tags), without(this.#directory.queue(name)?.unwritten ?? {})))
  }

  /** False where we may not. */
  async write(url: string, tags: Tags): Promise<boolean> {
    const Tags = { ...tags }
    return (await this.#permitted(() => this.#client.call((sqs) => sqs.tagQueue({ QueueUrl: url, Tags })))) !== undefined
  }

  /** Reads what other processes have declared: queues that are new, and those whose tags were read too long ago. */
  async refresh(freshness: Freshness): Promise<void> {
    const directory = this.#directory
    if (directory.refreshing) {
      await directory.refreshing
      return this.refresh(freshness)
    }
    const { listMs, tagsMs } = freshness
    const now = this.#clock.monotonic()
    // One that let older tags pass does not do.
    if (now - directory.listedAt <= listMs && directory.oldestTagsMs <= tagsMs) return
    directory.refreshing = this.#look(now - tagsMs).finally(() => {
      directory.listedAt = now
      directory.oldestTagsMs = tagsMs
      directory.refreshing = undefined
    })
    await directory.refreshing
  }

  async #look(readBefore: number): Promise<void> {
    const stale = (await this.#list()).filter(([name]) => (this.#directory.queue(name)?.readAt ?? -Infinity) <= readBefore)
    const next = async (): Promise<void> => {
      for (let found = stale.pop(); found; found = stale.pop()) await this.#update(...found)
    }
    await Promise.all(Array.from({ length: READ_AT_ONCE }, next))
  }

  async #update(name: string, url: string): Promise<void> {
    const before = this.#directory.queue(name)
    const tags = await this.#readTags(url)
    if (!tags) return
    // Declared or read by others meanwhile: that is fresher.
    if (this.#directory.queue(name) === before) this.#directory.setQueue(name, this.#known(url, tags, before?.unwritten))
    const owned = ownerIn(tags)
    if (owned && owned.until + LEFT_OVER_MS < this.#clock.wall()) await this.#permitted(() => this.#onLeftOver(name, url))
  }

  /** All with our prefix, as far as we may list them. */
  async #list(): Promise<[name: string, url: string][]> {
    const { predefined, queueNamePrefix } = this.#address
    if (predefined) return [...predefined]
    const prefix = queueNamePrefix === '' ? {} : { QueueNamePrefix: sqsName(queueNamePrefix, '') }
    const urls: string[] = []
    let token: string | undefined
    do {
      const asked = { MaxResults: 1_000, ...prefix, ...(token === undefined ? {} : { NextToken: token }) }
      const page = await this.#permitted(() => this.#client.call((sqs) => sqs.listQueues(asked)))
      urls.push(...(page?.QueueUrls ?? []))
      token = page?.NextToken
    } while (token !== undefined)
    return urls.map((url) => [url.slice(url.lastIndexOf('/') + 1), url])
  }

  async #readTags(url: string): Promise<Tags | undefined> {
    const answer = await this.#permitted(() => this.#client.call((sqs) => sqs.listQueueTags({ QueueUrl: url })))
    return answer && (answer.Tags ?? {})
  }

  /** Undefined where we may not, where there is nothing, and where SQS has had enough of our questions: what we know must do. */
  async #permitted<T>(ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof SqsFailure && ['denied', 'throttled', 'gone'].includes(error.kind)) return undefined
      throw error
    }
  }

  #known(url: string, tags: Tags, unwritten: Tags = {}, added: Tags = unwritten): KnownQueue {
    const all = { ...tags, ...added }
    const [given, bindings, owned] = [argumentsIn(all), bindingsIn(all), ownerIn(all)]
    return { url, arguments: given, bindings, owner: owned?.owner, unwritten, readAt: this.#clock.monotonic() }
  }
}
