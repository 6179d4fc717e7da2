/** A key in the summary: its count is between `count - error` and `count`. */
export type Counted<T> = {
  readonly key: string
  count: number
  /** What the count may owe to keys that were here before. */
  error: number
  about: T | undefined
  /** In the heap. */
  at: number
}

/**
 * The keys with the highest counts, in a bounded number of counters: Space-Saving (Metwally, Agrawal and El Abbadi,
 * "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005), with a heap for the smallest.
 *
 * With `capacity` m and weights that sum up to n, no count is more than n ∕ m above the truth, none is below it, and
 * every key with more than n ∕ m is here.
 */
export class SpaceSaving<T> {
  total = 0
  readonly #capacity: number
  readonly #byKey = new Map<string, Counted<T>>()
  /** The smallest count first. */
  readonly #heap: Counted<T>[] = []

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#heap.length
  }

  /** No count is further from the truth. */
  get errorAtMost(): number {
    return this.#heap.length < this.#capacity ? 0 : (this.#heap[0]?.count ?? 0)
  }

  add(key: string, weight: number, about?: T): void {
    this.total += weight
    const present = this.#byKey.get(key)
    if (present) {
      present.count += weight
      present.about ??= about
      this.#sink(present)
    } else if (this.#heap.length < this.#capacity) {
      const added = { key, count: weight, error: 0, about, at: this.#heap.length }
      this.#heap.push(added)
      this.#byKey.set(key, added)
      this.#rise(added)
    } else {
      const smallest = this.#heap[0] as Counted<T>
      this.#byKey.delete(smallest.key)
      const { count } = smallest
      const added = { key, count: count + weight, error: count, about, at: 0 }
      this.#heap[0] = added
      this.#byKey.set(key, added)
      this.#sink(added)
    }
  }

  get(key: string): Readonly<Counted<T>> | undefined {
    return this.#byKey.get(key)
  }

  /** The highest counts first. */
  top(most = this.#heap.length): readonly Readonly<Counted<T>>[] {
    return this.#heap.toSorted((a, b) => b.count - a.count).slice(0, most)
  }

  #sink(entry: Counted<T>): void {
    const heap = this.#heap
    for (;;) {
      const left = 2 * entry.at + 1
      const right = heap[left + 1]
      let child = heap[left]
      if (child && right && right.count < child.count) child = right
      if (!child || child.count >= entry.count) return
      this.#swap(entry, child)
    }
  }

  #rise(entry: Counted<T>): void {
    while (entry.at > 0) {
      const parent = this.#heap[(entry.at - 1) >> 1] as Counted<T>
      if (parent.count <= entry.count) return
      this.#swap(parent, entry)
    }
  }

  #swap(above: Counted<T>, below: Counted<T>): void {
    const at = above.at
    this.#heap[below.at] = above
    this.#heap[at] = below
    above.at = below.at
    below.at = at
  }
}
