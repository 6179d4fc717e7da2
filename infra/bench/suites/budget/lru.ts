/** Least recently used, bounded in bytes: tells whether the key was there, and keeps it from now on. */
export function createLru(maxBytes: number, bytesOf: (key: number) => number) {
  const held = new Map<number, number>()
  let bytes = 0
  return (key: number): boolean => {
    const before = held.get(key)
    const size = before ?? bytesOf(key)
    if (before === undefined) bytes += size
    else held.delete(key)
    held.set(key, size)
    for (const [oldest, its] of held) {
      if (bytes <= maxBytes) break
      held.delete(oldest)
      bytes -= its
    }
    return before !== undefined
  }
}
