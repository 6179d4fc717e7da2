const ways = 8

/**
 * Remembers the hashes of about the last `capacity` keys that left, in four bytes each: buckets of eight fingerprints,
 * the newest first, where a ninth pushes out the oldest. There is no clock and no list; that a bucket fills is the
 * ageing. Two keys with one hash are taken for one another, which costs a misplaced entry and nothing else.
 */
export function createGhosts(capacity: number) {
  const buckets = Math.max(1, Math.ceil(capacity / ways))
  const prints = new Uint32Array(buckets * ways)
  const startOf = (hash: number) => Math.floor((hash / 2 ** 32) * buckets) * ways

  return {
    add(hash: number): void {
      const start = startOf(hash)
      for (let at = start + ways - 1; at > start; at--) prints[at] = prints[at - 1] ?? 0
      prints[start] = hash
    },
    /** Whether the key left lately; it is forgotten by being asked for. */
    take(hash: number): boolean {
      const start = startOf(hash)
      const end = start + ways
      let at = start
      while (at < end && prints[at] !== hash) at++
      if (at === end) return false
      for (; at < end - 1; at++) prints[at] = prints[at + 1] ?? 0
      prints[end - 1] = 0
      return true
    },
  }
}

/** 32 bits, never 0, from a key and the number of its index: FNV-1a, and the finalizer of MurmurHash3. */
export function hashOf(index: number, key: string): number {
  let hash = 0x811c9dc5 ^ index
  for (let at = 0; at < key.length; at++) {
    hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0 || 1
}
