import type { Failed, Output, Progressed, Ready, Uploaded } from './contracts.ts'

export type State = 'queued' | 'processing' | 'ready' | 'failed'

/** All that is known of one video, and what it was learned from. */
export interface VideoRecord {
  readonly id: string
  readonly name: string
  readonly bytes: number
  readonly uploadedAt: string
  readonly state: State
  /** 0 to 1. */
  readonly progress: number
  readonly stage?: Progressed['stage']
  readonly outputs: readonly Output[]
  readonly durationSeconds?: number
  readonly width?: number
  readonly height?: number
  readonly reason?: string
  /** When each state was first reached. */
  readonly reached: Readonly<Partial<Record<State, string>>>
  /** Ids of the messages that count once; progress needs none, since only more of it counts. */
  readonly applied: readonly string[]
}

/** One of the four events, as the bus delivers it. */
export type Fact =
  | { readonly type: 'video.uploaded.v1'; readonly id: string; readonly time: Date; readonly data: Uploaded }
  | { readonly type: 'video.progressed.v1'; readonly id: string; readonly time: Date; readonly data: Progressed }
  | { readonly type: 'video.ready.v1'; readonly id: string; readonly time: Date; readonly data: Ready }
  | { readonly type: 'video.failed.v1'; readonly id: string; readonly time: Date; readonly data: Failed }

/** As it stands before anybody was told of the upload. */
export function newRecord({ id, name, bytes, uploadedAt }: Uploaded): VideoRecord {
  return { ...unknownVideo(id), name, bytes, uploadedAt, reached: { queued: uploadedAt } }
}

/**
 * The record after one more fact. The same facts lead to the same record in any order and however often each comes, for
 * a queue promises neither. Returns the record itself when the fact is no news.
 */
export function applyFact(before: VideoRecord | undefined, fact: Fact): VideoRecord {
  const record = before ?? unknownVideo(fact.data.id)
  if (fact.type === 'video.progressed.v1') return applyProgress(record, fact.data, fact.time.toISOString())
  if (record.applied.includes(fact.id)) return record
  const learned = { ...record, applied: [...record.applied, fact.id].toSorted() }
  const at = fact.time.toISOString()
  switch (fact.type) {
    case 'video.uploaded.v1': {
      const { name, bytes, uploadedAt } = fact.data
      return reach({ ...learned, name, bytes, uploadedAt }, 'queued', uploadedAt)
    }
    case 'video.ready.v1': {
      const { outputs, durationSeconds, width, height } = fact.data
      return reach({ ...learned, outputs, durationSeconds, width, height }, 'ready', at)
    }
    case 'video.failed.v1':
      return reach({ ...learned, reason: fact.data.reason }, 'failed', at)
  }
}

/** Whether the queue has delivered the upload itself, so that it needs no second announcement. */
export function isAnnounced(record: VideoRecord): boolean {
  return record.applied.length > 0 || record.state !== 'queued'
}

function applyProgress(record: VideoRecord, { progress, stage }: Progressed, at: string): VideoRecord {
  const known = record.reached.processing
  const isEarlier = known === undefined || at < known
  const isMore = progress > record.progress || (progress === record.progress && STAGES.indexOf(stage) > STAGES.indexOf(record.stage))
  if (!isEarlier && (!isMore || record.state === 'ready')) return record
  const seen = isMore && record.state !== 'ready' ? { ...record, progress, stage } : record
  return isEarlier ? reach(seen, 'processing', at) : seen
}

const STAGES: readonly (Progressed['stage'] | undefined)[] = [undefined, 'loading', 'transcoding', 'pictures', 'saving']

/** A later state is never left again, except that a second try may still make a failed video ready. */
const ORDER: readonly State[] = ['queued', 'processing', 'failed', 'ready']

function reach(record: VideoRecord, state: State, at: string): VideoRecord {
  const known = record.reached[state]
  const reached = { ...record.reached, [state]: known === undefined || at < known ? at : known }
  const furthest = ORDER.findLast((each) => reached[each] !== undefined) ?? 'queued'
  if (furthest !== 'ready') return { ...record, reached, state: furthest }
  const { stage: _, reason: __, ...rest } = record
  return { ...rest, reached, state: 'ready', progress: 1 }
}

function unknownVideo(id: string): VideoRecord {
  return { id, name: '', bytes: 0, uploadedAt: '', state: 'queued', progress: 0, outputs: [], reached: {}, applied: [] }
}
