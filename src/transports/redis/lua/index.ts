/** The scripts as they are sent: each with what it needs before it. */
import { createHash } from 'node:crypto'
import type { Names } from '../names.ts'
import { giveBack, hear, putAside, settle, take } from './consume.ts'
import { begin, deliverLetters, ending, leave, letters, renew, tick } from './keeping.ts'
import { library } from './library.ts'
import { bindings, publish } from './publish.ts'
import { recover, strays } from './strays.ts'
import {
  cancel,
  declareExchange,
  declareQueue,
  deleting,
  inspect,
  purge,
  removeExchange,
  removeQueue,
  subscribe,
  unbind,
} from './topology.ts'

const bodies = {
  publish: bindings + publish,
  take,
  settle: giveBack + settle,
  putAside: giveBack + putAside,
  hear,
  declareExchange,
  declareQueue,
  removeQueue: deleting + removeQueue,
  removeExchange,
  unbind: deleting + unbind,
  inspect,
  purge,
  subscribe,
  cancel: deleting + cancel,
  begin,
  leave: giveBack + deleting + ending + leave,
  tick: giveBack + deleting + ending + letters + tick,
  deliverLetters: bindings + letters + deliverLetters,
  renew,
  strays: giveBack + bindings + strays,
  recover: giveBack + recover,
} as const

export type ScriptName = keyof typeof bodies

export interface Script {
  readonly source: string
  readonly sha: string
}

/** All scripts for one set of names. With too little memory Redis refuses `publish` alone: taking and settling make room. */
export function scripts(names: Names, cluster: boolean): Readonly<Record<ScriptName, Script>> {
  const entries = Object.entries(bodies).map(([name, body]) => {
    const source = library(names, name === 'publish' ? '' : 'allow-oom', cluster) + body
    return [name, { source, sha: createHash('sha1').update(source).digest('hex') }] as const
  })
  return Object.fromEntries(entries) as Record<ScriptName, Script>
}
