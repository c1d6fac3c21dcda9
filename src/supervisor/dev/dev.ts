/** What the state machine knows besides under `omnibus dev`. */
import type { Fault } from '../protocol.ts'
import type { Child } from '../state.ts'
import { createGraph, type ModuleGraph } from './graph.ts'

export interface DevOptions {
  /** The module that answers in place of a web app that does not load. */
  readonly standIn: string
}

export interface Dev {
  readonly options: DevOptions
  readonly graph: ModuleGraph
  /** By unit: why its newest code does not load. */
  readonly faults: Map<string, Fault>
  /** What was told of since the last change: the processes of one unit fail alike. */
  readonly told: Set<string>
  /** What is to be live soon, and since when. */
  change: { readonly at: number; readonly units: ReadonlySet<string>; failed: boolean } | undefined
  standIn: Child | undefined
}

export function createDev(options: DevOptions): Dev {
  return { options, graph: createGraph(), faults: new Map(), told: new Set(), change: undefined, standIn: undefined }
}

/** The child that reads the config and the host of its hooks load the same files. */
export const CONFIG = 'config'

export const graphName = ({ unit }: Child): string => (unit.stage === 'hooks' ? CONFIG : unit.name)
