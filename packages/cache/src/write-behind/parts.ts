import type { Log } from '../space.ts'
import type { WriteCounts } from './counts.ts'
import type { HeldChanges } from './held.ts'
import type { Journal } from './journal.ts'
import type { Settings } from './options.ts'
import type { Place } from './place.ts'

/** What the parts of one write-behind share. */
export type Parts<V> = {
  readonly settings: Settings<V>
  readonly place: Place
  readonly journal: Journal
  readonly held: HeldChanges
  readonly counts: WriteCounts
  /** Drops entries of the kind, by their encoded names. */
  readonly invalidate: (encoded: readonly string[]) => Promise<unknown>
  /** Resolves after so many milliseconds, or earlier when it is woken or aborted. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>
  readonly log: Log
  readonly now: () => number
  readonly random: () => number
}
