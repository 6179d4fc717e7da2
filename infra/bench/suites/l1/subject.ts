import { LRUCache } from 'lru-cache'
import { createL1 } from '../../../../packages/cache/src/l1/l1.ts'
import { randomFrom } from '../../../../packages/testkit/src/random.ts'

/** A store with entries in it, in a process of its own; it measures itself, for a message takes longer than a hit. */
export type Subject = {
  /** Milliseconds for so many hits, each through an async function and awaited. */
  hit(times: number): Promise<number>
  /** Milliseconds for so many insertions of new keys into a full store, each of which evicts. */
  insert(times: number): Promise<number>
  /** Bytes that each entry takes beside its key and value. Needs `--expose-gc`. */
  bytesPerEntry(): Promise<number>
}

/** What is measured of each store. The key is looked up by text, and an entry knows its time and its size. */
type Store = {
  get(key: string): Promise<object | undefined>
  set(key: string, value: object): void
}

const ttlMs = 3_600_000
const bytes = 100

/** The time, read at most once a millisecond, as lru-cache reads it for its own TTL. */
function coarseClock(): () => number {
  let time: number | undefined
  const forget = () => {
    time = undefined
  }
  return () => {
    if (time === undefined) {
      time = performance.now()
      setTimeout(forget, 1).unref()
    }
    return time
  }
}

const stores: Record<string, (maxEntries: number) => Store> = {
  wattle(maxEntries) {
    const l1 = createL1<object, undefined, object>({ maxEntries, maxBytes: maxEntries * bytes })
    const index = l1.createIndex()
    const shard = {}
    const clock = coarseClock()
    return {
      async get(key) {
        const now = clock()
        const slot = index.get(key)
        if (slot === undefined || now >= (l1.checkAt[slot] ?? 0)) return undefined
        l1.hit(slot)
        return l1.values[slot]
      },
      set(key, value) {
        const now = clock()
        const until = now + ttlMs
        l1.insert(index, key, value, bytes, until, until, now, 0, undefined, shard)
      },
    }
  },
  /** As little as it can be asked: no TTL, no sizes. */
  'lru-cache': (max) => fromLru(new LRUCache<string, object>({ max })),
  'lru-cache, TTL and size': (max) => {
    const options = { max, ttl: ttlMs, maxSize: max * bytes, sizeCalculation: () => bytes }
    return fromLru(new LRUCache<string, object>(options))
  },
}

function fromLru(cache: LRUCache<string, object>): Store {
  return {
    get: async (key) => cache.get(key),
    set: (key, value) => void cache.set(key, value),
  }
}

/** The stores that can be opened, by name. */
export const storeNames = Object.keys(stores)

const entries = 10_000
/** Keys as a service has them, and flat in memory as if they had come from a request. */
const keyOf = (number: number) =>
  Buffer.from(`production:billing:bill@1:usr_${number.toString().padStart(9, '0')}`).toString()

export async function open(name: string): Promise<Subject | undefined> {
  const make = stores[name]
  if (!make) return undefined
  const store = make(entries)
  const keys = Array.from({ length: entries }, (_, number) => keyOf(number))
  const random = randomFrom(1)
  const order = Array.from({ length: 65_536 }, () => random.below(entries))
  const value = { id: 'bil_1', state: 'paid' }
  for (const key of keys) store.set(key, value)
  let added = entries

  return {
    async hit(times) {
      let found = 0
      const started = performance.now()
      for (let at = 0; at < times; at++) {
        if (await store.get(keys[order[at & 65_535] ?? 0] ?? '')) found++
      }
      const took = performance.now() - started
      if (found !== times) throw new Error(`${times - found} of ${times} reads were no hits`)
      return took
    },
    async insert(times) {
      const full = make(entries)
      for (const key of keys) full.set(key, value)
      let took = 0
      // the keys are made beside the clock, and few at a time, so that they do not fill the memory
      for (let left = times; left > 0; left -= entries) {
        const fresh = Array.from({ length: Math.min(left, entries) }, () => keyOf(added++))
        const started = performance.now()
        for (const key of fresh) full.set(key, value)
        took += performance.now() - started
      }
      return took
    },
    async bytesPerEntry() {
      const count = 100_000
      const { gc } = globalThis
      if (!gc) throw new Error('bytesPerEntry needs a Node started with --expose-gc')
      const used = () => {
        for (let pass = 0; pass < 4; pass++) gc()
        const { heapUsed, external } = process.memoryUsage()
        return heapUsed + external
      }
      const many = Array.from({ length: count }, (_, number) => keyOf(number))
      const values = many.map((_, id) => ({ id }))
      const before = used()
      const store = make(count)
      for (const [at, key] of many.entries()) store.set(key, values[at] ?? {})
      const after = used()
      if (!(await store.get(many[0] ?? ''))) throw new Error('the first entry is gone')
      return (after - before) / count
    },
  }
}
