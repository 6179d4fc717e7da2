import type { SqlQuery } from '../../../src/index.ts'
import type { WorkerSettings } from '../messages.ts'
import type { Plan, Value } from '../plan.ts'
import type { Subject } from '../subject.ts'
import { openBackground } from './background.ts'
import { openBehind } from './behind.ts'
import type { Hold, Put } from './facts.ts'
import { openLocked } from './locked.ts'

/** Errors by which a feature says that it cannot keep its promise now, rather than break it. */
const refusals = new Set([
  'WriteRefusedError',
  'PendingUnknownError',
  'LockHeldError',
  'LockUnavailableError',
])

/** What a process of a run does with the features that are on. */
export type Features = ReturnType<typeof openFeatures>

export function openFeatures({
  settings: { process, features: on, auditor },
  plan,
  subject,
  query,
  pause,
  died,
}: {
  settings: WorkerSettings
  plan: Plan
  subject: Subject
  query: SqlQuery
  pause: () => Promise<unknown>
  /** After each batch of changes that was committed; a process that is to die then does not return. */
  died: () => void
}) {
  const { cache, cacheModule, state, memberOf, locks } = subject
  let puts: Put[] = []
  let holds: Hold[] = []
  let held = 0
  const refused: Record<string, number> = {}
  // In every process: a load of such a kind has to know what waits.
  const behind =
    state && on.includes('write-behind')
      ? openBehind({ cache, state, process, plan, memberOf, query, pause, written: died })
      : undefined
  const note = (hold: Hold) => {
    holds.push(hold)
    held++
  }
  const writeLocked = locks && openLocked({ locks, process, query, pause, note })
  // The auditor only looks.
  const background = openBackground({
    modules: cacheModule,
    on: auditor ? [] : on,
    cache,
    process,
    plan,
    member: memberOf,
  })

  return {
    async put(row: number): Promise<Put & { token: string }> {
      if (!behind) throw new Error(`row ${row} is not written behind`)
      const { token, ...put } = await behind.put(row)
      puts.push(put)
      return { ...put, token }
    },
    async writeLocked(row: number, commit: (token: number) => Promise<Value>) {
      if (!writeLocked) throw new Error(`there are no locks for row ${row}`)
      return writeLocked(row, commit)
    },
    /** Whether that is what a feature may reject with. It is counted. */
    refused(cause: unknown): boolean {
      const { name } = cause as Error
      if (!refusals.has(name)) return false
      refused[name] = (refused[name] ?? 0) + 1
      return true
    },
    /** What was noted since the last call. */
    take() {
      const taken = {
        puts,
        holds,
        accusations: background.accusations(),
        activity: {
          holds: held,
          ...subject.activity(),
          ...behind?.activity(),
          ...background.activity(),
          ...refused,
        },
      }
      puts = []
      holds = []
      return taken
    },
    stop: () => Promise.all([behind?.stop(), background.stop()]),
  }
}
