import { unpackKey, unpackValue, type Change } from './change.ts'
import type { JournalEntry } from './journal.ts'

/** What the writer has in hand of one key: its newest change, and the entries that are done with when that is written. */
export type Held = {
  readonly encoded: string
  /** Without its value while it waits for another attempt: that is read again then. */
  newest: JournalEntry
  ids: string[]
  /** Failed ones, of this change. */
  attempts: number
  /** `write` was given it before. */
  wasTried: boolean
  notBeforeMs: number
}

const untried = { attempts: 0, wasTried: false, notBeforeMs: 0 }

const nothing = Buffer.alloc(0)
export const withoutValue = (entry: JournalEntry): JournalEntry => ({
  ...entry,
  valueBytes: nothing,
})

/** The changes that a writer has in hand, one for each key: the last wins. */
export function createHeld() {
  const byKey = new Map<string, Held>()
  let entries = 0
  let untriedEntries = 0
  const count = ({ attempts, ids }: Held, sign: 1 | -1): void => {
    entries += sign * ids.length
    if (attempts === 0) untriedEntries += sign * ids.length
  }
  return {
    get keys() {
      return byKey.size
    },
    get entries() {
      return entries
    },
    /** Entries of changes that the source has not refused: what it has refused takes no room from them. */
    get untriedEntries() {
      return untriedEntries
    },
    /**
     * Whether it took the place of an older change of its key. Entries come in the order of their versions; only where the
     * group was lost and made anew do they come once more from the beginning, and then they are in hand already.
     */
    add(entry: JournalEntry): boolean {
      const { encoded, id } = entry
      const held = byKey.get(encoded)
      if (!held) {
        const added = { encoded, newest: entry, ids: [id], ...untried }
        byKey.set(encoded, added)
        count(added, 1)
        return false
      }
      if (entry.version <= held.newest.version) return false
      count(held, -1)
      held.ids.push(id)
      held.newest = entry
      // It is another value, which may well be written.
      Object.assign(held, untried)
      count(held, 1)
      return true
    },
    remove(done: readonly Held[]): void {
      for (const one of done) if (byKey.delete(one.encoded)) count(one, -1)
    },
    /** The source refused the change, and is asked again from `notBeforeMs` on. Ids of the entries that it overtook. */
    refused(one: Held, notBeforeMs: number): string[] {
      const { id } = one.newest
      count(one, -1)
      const overtaken = one.ids.filter((other) => other !== id)
      one.attempts++
      one.notBeforeMs = notBeforeMs
      one.ids = [id]
      one.newest = withoutValue(one.newest)
      count(one, 1)
      return overtaken
    },
    /** Others come first the next time. */
    putLast(one: Held, nowMs: number): void {
      if (byKey.delete(one.encoded)) byKey.set(one.encoded, one)
      if (one.attempts > 0) one.notBeforeMs = nowMs
    },
    /** Changes that the source has not refused. */
    untried: (): Held[] => [...byKey.values()].filter(({ attempts }) => attempts === 0),
    /** Changes that it has refused, and that may be tried again; who waits longest first. */
    due: (nowMs: number): Held[] =>
      [...byKey.values()]
        .filter(({ attempts, notBeforeMs }) => attempts > 0 && notBeforeMs <= nowMs)
        .toSorted((a, b) => a.notBeforeMs - b.notBeforeMs),
    all: (): Held[] => [...byKey.values()],
    /** When the next one is due; Infinity where there is none. */
    nextDueMs(): number {
      let ms = Infinity
      for (const { notBeforeMs } of byKey.values()) ms = Math.min(ms, notBeforeMs)
      return ms
    },
  }
}

export type HeldChanges = ReturnType<typeof createHeld>

/** Throws when it cannot be read. */
export function changeOf<V>({ newest }: Held): Change<V> {
  const { codecs, keyBytes, valueBytes, version } = newest
  return {
    key: unpackKey(codecs, keyBytes),
    value: unpackValue(codecs, valueBytes) as V,
    version,
  }
}
