import { setTimeout as delay } from 'node:timers/promises'
import { kilobyte } from './subject.ts'

/** What a loader of a benchmark does. */
export type LoaderName = 'kilobyte' | 'small' | 'slow' | 'failing' | 'stamp'

export const slowMs = 200
export const failingMs = 50

/** Loaders that count their calls. */
export function countedLoader(name: LoaderName) {
  let loads = 0
  const one = kilobyte('bil_0190a5d2')
  const make: Record<LoaderName, (key: string) => Promise<unknown>> = {
    kilobyte: async (key) => ({ ...one, id: key }),
    small: async (key) => ({ id: key }),
    slow: (key) => delay(slowMs, { id: key }),
    failing: async () => {
      await delay(failingMs)
      throw new Error('the source refused')
    },
    /** A value never seen before: whoever gets an older one got it from a cache. */
    stamp: async () => ({ stamp: String(process.hrtime.bigint()) }),
  }
  const inner = make[name]
  return {
    load: (key: string) => {
      loads++
      return inner(key)
    },
    loads: () => loads,
  }
}
