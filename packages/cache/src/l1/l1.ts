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
 * ESSAY
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
    hardUntil: number,
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
    this.hardUntil[slot] = hardUntil
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

  /** Removes the entry in a slot that is taken. One that had proven itself comes back as such when it is loaded anew. */
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
