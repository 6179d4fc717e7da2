/**
 * What is asked of every cache that is measured: read through, with a loader that is known when the cache is made. An
 * adapter adds as little to a call as it can, and returns the library's own promise.
 */

export type Setting = {
  /** `redis://host:port` */
  url: string
  /** Begins every key, so that variants can share a server. */
  prefix: string
  /** In the process only, in Redis only, or both with the invalidation between processes that the library offers. */
  tiers: 'l1' | 'l2' | 'both'
  maxEntries: number
  /** Whether every entry carries the tag `all`. */
  tagged: boolean
  /** Whether an ioredis client that the caller makes pipelines by itself: faster but for lone calls. */
  pipelining: boolean
  load: (key: string) => Promise<unknown>
}

export type Subject = {
  get(key: string): Promise<unknown>
  /** What `get` resolved with, freed from what the library wraps it in. */
  unwrap?(result: unknown): unknown
  /** For what has Redis behind its L1 even so: reads, and says whether L1 had it. */
  isL1Hit?(key: string): Promise<boolean>
  getMany?(keys: string[]): Promise<unknown>
  invalidate(key: string): Promise<unknown>
  /** Invalidates what carries the tag `all`. */
  invalidateTag?(): Promise<unknown>
  close(): Promise<unknown>
}

/** Opens a cache; undefined where the library has no such setting. */
export type Open = (setting: Setting) => Promise<Subject | undefined>

export const ttlMs = 600_000

/** A bill as JSON of 1 KB: some structure, some text, some numbers. */
export function kilobyte(key: string) {
  return {
    id: key,
    provider: { id: 'prv_0190a5d2c1', name: 'Lakeside Water Company', utility: 'water' },
    customer: { number: '04512345678', name: 'Ada Obi', address: '14 Marina Road, Lagos' },
    state: 'open',
    currency: 'NGN',
    dueAt: '2026-12-01T00:00:00.000Z',
    totalMinor: 1_245_000,
    lines: Array.from({ length: 7 }, (_, at) => ({
      text: `Consumption of the month, step ${at} of the tariff`,
      units: 12.5 * at,
      unitPriceMinor: 3_200 + at,
      amountMinor: 40_000 * at,
    })),
  }
}
