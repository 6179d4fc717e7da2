import type { Database } from '@wattle/database'
import { readPlaces } from './inbox-store.ts'
import { envelopeOf } from './settle.ts'
import type { Item } from './delivery.ts'

/**
 * After a failover the last minute of a stream comes again, which may be thousands of events. One transaction for each,
 * to find that its effect is there, would hold up what is new; so they are looked up together. Only once one was
 * met singly: as a rule there are none, and a look-up would be in vain.
 */
export function createRepetitionFilter<DB>(deps: { database: Database<DB>; stream: string }) {
  let expected = false
  return {
    /** A repetition was met. */
    expectMore(): void {
      expected = true
    },

    /** Marks those whose effect is there. */
    async mark(items: readonly Item[]): Promise<void> {
      if (!expected || items.length === 0) return
      const subjects = items.flatMap(({ decoded }) => envelopeOf(decoded)?.subject ?? [])
      // Without the answer each is found out by itself.
      const places = await readPlaces(deps.database.kysely, deps.stream, subjects).catch(
        () => undefined,
      )
      expected = false
      for (const item of items) {
        const known = envelopeOf(item.decoded)
        item.isRepetition =
          known !== undefined && known.version <= (places?.get(known.subject) ?? 0)
        expected ||= item.isRepetition
      }
    },
  }
}

export type RepetitionFilter = ReturnType<typeof createRepetitionFilter>
