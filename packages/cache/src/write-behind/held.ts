import { unpackKey, unpackValue, type Change } from './change.ts'
import type { JournalEntry } from './journal.ts'

/** What the writer has in hand of one key: its newest change, and the entries that are done with when that is written. */
export type Held = {
  readonly encoded: string
  newest: JournalEntry
  ids: string[]
  attempts: number
  /** `write` was given it before. */
  wasTried: boolean
  notBeforeMs: number
}

const untried = { attempts: 0, wasTried: false, notBeforeMs: 0 }

/** The changes that a writer has in hand, one for each key: the last wins. */
export function createHeld() {
  const byKey = new Map<string, Held>()
  let entries = 0
  return {
    get keys() {
      return byKey.size
    },
    get entries() {
      return entries
    },
    /**
     * Whether it took the place of an older change of its key. Entries come in the order of their versions; only where the
     * group was lost and made anew do they come once more from the beginning, and then they are in hand already.
     */
    add(entry: JournalEntry): boolean {
      const held = byKey.get(entry.encoded)
      if (!held) {
        entries++
        const { encoded, id } = entry
        byKey.set(encoded, { encoded, newest: entry, ids: [id], ...untried })
        return false
      }
      if (entry.version <= held.newest.version) return false
      entries++
      held.ids.push(entry.id)
      held.newest = entry
      // It is another value, which may well be written.
      Object.assign(held, untried)
      return true
    },
    remove(done: readonly Held[]): void {
      for (const { encoded, ids } of done) {
        if (byKey.delete(encoded)) entries -= ids.length
      }
    },
    due: (nowMs: number): Held[] => [...byKey.values()].filter((one) => one.notBeforeMs <= nowMs),
    /** When the next one is due; Infinity where there is none. */
    nextDueMs: () => Math.min(...[...byKey.values()].map(({ notBeforeMs }) => notBeforeMs)),
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
