import { createGhosts, hashOf } from './ghosts.ts'
import { Queue } from './queue.ts'
import { Index, none, Slots } from './slots.ts'

export type { Index }

const smallShare = 0.2
const largestShare = 1 / 8
const mostIndexes = 65_535
const mostBytes = 2 ** 35

export type L1Options = {
  /** A whole number from 1 up. */
  maxEntries: number
  /** A whole number from 8 up; no single value may take more than an eighth of it. */
  maxBytes: number
  /** Told of each entry that the bounds push out, while its fields can still be read. Must not call the store. */
  onEvict?: (slot: number, index: Index, key: string) => void
}

/**
 * The store of the in-process tier: entries of several kinds under one bound of entries and one of bytes.
 *
 * What leaves is chosen by S3-FIFO (Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023). A
 * new entry goes into a small queue. When room is needed and the small queue is above its share, its oldest entry
 * leaves, or moves to the main queue if it was hit meanwhile; so what is read once never gets to the entries that are
 * read often. Otherwise the oldest of the main queue leaves, or goes round again if it was hit. The keys that left the
 * small queue are remembered for a while, and one that comes back goes to the main queue at once.
 *
 * Three things differ from the paper. A hit sets a flag and does not count: the flag is enough, a hit writes one byte
 * at most, and an insertion goes once around the main queue at most. The small queue has a fifth, not a tenth: it costs
 * less than a point of hit ratio while popularity stands still, and wins one to two right after it shifts. And an entry
 * that is removed after it proved itself, which is what an invalidation does, is remembered too.
 *
 * Measured by infra/bench/suites/l1.ts, hits in percent: Zipf 0.9 over 100,000 keys with room for 1 % and 10 % of them;
 * the same with as many references again in scans; the first 10 × capacity references after popularity moved to other
 * keys; and the OLTP trace of Megiddo and Modha (ARC, FAST 2003) with room for so many pages:
 *
 *                       Zipf    with scans         shift    trace
 *                  1 %  10 %     1 %  10 %     1 %  10 %     1,000   2,000   5,000  10,000  15,000
 *     this store  43.3  65.3    21.7  32.8    33.6  57.8      39.9    46.3    55.1    62.2    66.1
 *     LRU         34.2  60.4    16.1  28.3    33.1  58.6      32.8    42.5    53.7    60.7    64.6
 *     SIEVE       45.0  66.5    22.2  32.9    26.6  35.8      32.6    41.2    51.9    60.5    65.1
 *     ARC         44.5  66.3    22.3  33.2    33.3  57.2      38.9    46.1    55.3    61.9    65.4
 *     W-TinyLFU   44.6  67.2    21.9  32.3    27.6  49.7      34.4    40.7    51.5    59.0    61.5
 *
 * SIEVE is simpler still, but falls below LRU on the trace and far below it after a shift. So does W-TinyLFU; a hill
 * climber for its window helped on the trace up to 5,000 pages only, and not after a shift. ARC is as good, but moves
 * an entry between lists at every hit.
 *
 * Of libraries, lru-cache is quick and scans empty it; @neophi/sieve-cache is as quick as this store and bounded by
 * entries only; transitory (W-TinyLFU) had 62.9 % of hits on the trace at 15,000, held more entries than it was given,
 * and a hit took more than twice as long. None shares one bound among several key spaces. A hit here costs what it
 * costs in lru-cache, or slightly less; an insertion that evicts costs about 1.5 times as much, for the key is hashed.
 *
 * Invariants: an entry is in one queue, and in the index that owns it; `entries` and `bytes` are the sums over both
 * queues and within the bounds whenever a call returns; no more is written by a hit than its flag.
 */
export class L1<Value, Tags, Shard> extends Slots<Value, Tags, Shard> {
  /** Entries that the bounds have pushed out so far. */
  evictions = 0
  readonly maxEntries: number
  readonly maxBytes: number
  readonly #onEvict: L1Options['onEvict']
  readonly #indexes: Index[] = []
  readonly #small: Queue
  readonly #main: Queue
  readonly #smallEntries: number
  readonly #smallBytes: number
  readonly #largest: number
  #ghosts
  #ghostsFor: number

  constructor({ maxEntries, maxBytes, onEvict }: L1Options) {
    check('maxEntries', maxEntries, 1, 2 ** 31 - 1)
    check('maxBytes', maxBytes, 8, mostBytes)
    super(maxEntries)
    this.maxEntries = maxEntries
    this.maxBytes = maxBytes
    this.#onEvict = onEvict
    this.#small = new Queue(this)
    this.#main = new Queue(this)
    this.#smallEntries = Math.max(1, Math.floor(maxEntries * smallShare))
    this.#smallBytes = Math.floor(maxBytes * smallShare)
    this.#largest = Math.floor(maxBytes * largestShare)
    this.#ghosts = createGhosts(this.capacity)
    this.#ghostsFor = this.capacity
  }

  get entries(): number {
    return this.#small.entries + this.#main.entries
  }

  /** The sum of the `bytes` that were given with the entries present. */
  get bytes(): number {
    return this.#small.bytes + this.#main.bytes
  }

  /** An index for one more kind of entry. It lives as long as the store. */
  createIndex(): Index {
    if (this.#indexes.length > mostIndexes) {
      throw new RangeError(`An L1 store has at most ${mostIndexes + 1} indexes: create them once.`)
    }
    const index = new Index(this.#indexes.length)
    this.#indexes.push(index)
    return index
  }

  /** Notes that the entry was used. Call it at every hit: it writes a byte, and only at the first. */
  hit(slot: number): void {
    if (this.touched[slot] === 0) this.touched[slot] = 1
  }

  /**
   * Stores an entry, in the place of one with the same key, and returns its slot. `bytes` is what the value counts for
   * (rounded up); more than an eighth of `maxBytes`, or no number, is refused with -1, and what was there is removed
   * all the same. A slot is good until the next call that inserts or removes: look it up in the index again after
   * an `await`.
   */
  insert(
    index: Index,
    key: string,
    value: Value,
    bytes: number,
    checkAt: number,
    softUntil: number,
    loadedAt: number,
    stamp: number,
    tags: Tags | undefined,
    shard: Shard | undefined,
  ): number {
    const size = Math.ceil(bytes)
    const present = index.get(key)
    if (!(size >= 0 && size <= this.#largest)) {
      if (present !== undefined) this.removeSlot(present)
      return none
    }
    const slot = present === undefined ? this.#place(index, key, size) : this.#resize(present, size)
    this.values[slot] = value
    this.checkAt[slot] = checkAt
    this.softUntil[slot] = softUntil
    this.loadedAt[slot] = loadedAt
    this.stamps[slot] = stamp
    this.tags[slot] = tags
    this.shards[slot] = shard
    return slot
  }

  /** Whether there was such an entry. */
  remove(index: Index, key: string): boolean {
    const slot = index.get(key)
    if (slot === undefined) return false
    this.removeSlot(slot)
    return true
  }

  /** Removes the entry in a slot that is taken. One that had proven itself is known as such when it is loaded anew. */
  removeSlot(slot: number): void {
    const queue = this.#queueOf(slot)
    if (queue === this.#main || this.touched[slot] === 1) this.#ghosts.add(this.hashes[slot] ?? 0)
    queue.remove(slot)
    this.#release(slot)
  }

  /** Removes all entries of one kind. */
  clearIndex(index: Index): void {
    for (const slot of index.values()) this.removeSlot(slot)
  }

  /** Removes all entries of all kinds. */
  clear(): void {
    for (const index of this.#indexes) index.clear()
    this.#small.clear()
    this.#main.clear()
    this.giveAll()
  }

  #place(index: Index, key: string, size: number): number {
    const hash = hashOf(index.id, key)
    const proven = this.#ghosts.take(hash)
    this.#makeRoom(size)
    const slot = this.take()
    // as many as there are slots; what is forgotten by beginning anew is little, for a store that grows evicts little
    if (this.capacity !== this.#ghostsFor) {
      this.#ghosts = createGhosts(this.capacity)
      this.#ghostsFor = this.capacity
    }
    this.keys[slot] = key
    this.sizes[slot] = size
    this.hashes[slot] = hash
    this.owners[slot] = index.id
    this.touched[slot] = 0
    this.inMain[slot] = proven ? 1 : 0
    this.#queueOf(slot).push(slot)
    index.set(key, slot)
    return slot
  }

  #resize(slot: number, size: number): number {
    const queue = this.#queueOf(slot)
    const more = size - (this.sizes[slot] ?? 0)
    if (this.bytes + more <= this.maxBytes) {
      queue.bytes += more
      this.sizes[slot] = size
      return slot
    }
    // out of its queue meanwhile, so that it cannot be pushed out to make room for itself
    queue.remove(slot)
    this.#makeRoom(size)
    this.sizes[slot] = size
    queue.push(slot)
    return slot
  }

  #makeRoom(size: number): void {
    while (this.entries >= this.maxEntries || this.bytes + size > this.maxBytes) this.#evict()
  }

  #evict(): void {
    const small = this.#small
    const main = this.#main
    const { touched } = this
    for (;;) {
      const fromSmall =
        small.entries > this.#smallEntries || small.bytes > this.#smallBytes || main.oldest === none
      const queue = fromSmall ? small : main
      const slot = queue.oldest
      queue.remove(slot)
      if (touched[slot] === 0) {
        if (fromSmall) this.#ghosts.add(this.hashes[slot] ?? 0)
        this.evictions++
        this.#onEvict?.(slot, this.#indexOf(slot), this.keys[slot] ?? '')
        this.#release(slot)
        return
      }
      touched[slot] = 0
      this.inMain[slot] = 1
      main.push(slot)
    }
  }

  #release(slot: number): void {
    this.#indexOf(slot).delete(this.keys[slot] ?? '')
    this.give(slot)
  }

  #queueOf(slot: number): Queue {
    return this.inMain[slot] === 1 ? this.#main : this.#small
  }

  #indexOf(slot: number): Index {
    return this.#indexes[this.owners[slot] ?? 0] as Index
  }
}

/** A store for values, the tags of each, and the shard that each came from. */
export function createL1<Value, Tags = undefined, Shard = undefined>(options: L1Options) {
  return new L1<Value, Tags, Shard>(options)
}

function check(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  throw new RangeError(
    `${name} of an L1 store is ${value}: give a whole number from ${least} to ${most}.`,
  )
}
