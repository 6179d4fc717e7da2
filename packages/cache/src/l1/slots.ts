/** A kind's keys, each with the slot of its entry. Read it freely; only the store writes to it. */
export class Index extends Map<string, number> {
  readonly id: number
  constructor(id: number) {
    super()
    this.id = id
  }
}

/** No slot. */
export const none = -1

const firstCapacity = 512
/** Small, for what is grown too far is memory that each entry pays for; copying more often is nothing beside a load. */
const growth = 1.2

/**
 * The fields of entries, each in an array of its own with one place a slot: numbers in typed arrays, 84 bytes for an
 * entry in all. Slots that were given back are used again first, so the arrays stay as short as the most entries that
 * ever were.
 *
 * Growing replaces the typed arrays: read them through this object each time, and keep none in a variable.
 */
export class Slots<Value, Tags, Shard> {
  readonly values: (Value | undefined)[] = []
  readonly keys: string[] = []
  readonly tags: (Tags | undefined)[] = []
  readonly shards: (Shard | undefined)[] = []
  checkAt: Float64Array
  softUntil: Float64Array
  loadedAt: Float64Array
  stamps: Float64Array
  /** What the bounds count for the entry. */
  sizes: Uint32Array
  hashes: Uint32Array
  /** The `id` of the entry's index. */
  owners: Uint16Array
  /** 1 when the entry was hit since it was last looked at for eviction. */
  touched: Uint8Array
  /** 1 in the main queue, 0 in the small one. */
  inMain: Uint8Array
  /** The neighbours in the entry's queue; of a free slot, `newer` is the next free one. */
  newer: Int32Array
  older: Int32Array
  capacity: number

  readonly #most: number
  #firstFree = none

  constructor(most: number) {
    this.#most = most
    const capacity = Math.min(most, firstCapacity)
    this.capacity = capacity
    this.checkAt = new Float64Array(capacity)
    this.softUntil = new Float64Array(capacity)
    this.loadedAt = new Float64Array(capacity)
    this.stamps = new Float64Array(capacity)
    this.sizes = new Uint32Array(capacity)
    this.hashes = new Uint32Array(capacity)
    this.owners = new Uint16Array(capacity)
    this.touched = new Uint8Array(capacity)
    this.inMain = new Uint8Array(capacity)
    this.newer = new Int32Array(capacity)
    this.older = new Int32Array(capacity)
  }

  /** A slot whose fields the caller now sets. */
  take(): number {
    const free = this.#firstFree
    if (free !== none) {
      this.#firstFree = this.newer[free] ?? none
      return free
    }
    const slot = this.values.length
    if (slot === this.capacity) this.#grow()
    // pushed in order, so that the engine keeps these arrays without holes
    this.values.push(undefined)
    this.keys.push('')
    this.tags.push(undefined)
    this.shards.push(undefined)
    return slot
  }

  give(slot: number): void {
    this.values[slot] = undefined
    this.keys[slot] = ''
    this.tags[slot] = undefined
    this.shards[slot] = undefined
    this.newer[slot] = this.#firstFree
    this.#firstFree = slot
  }

  giveAll(): void {
    for (const array of [this.values, this.keys, this.tags, this.shards]) array.length = 0
    this.#firstFree = none
  }

  #grow(): void {
    const capacity = Math.min(this.#most, Math.ceil(this.capacity * growth))
    this.capacity = capacity
    this.checkAt = longer(this.checkAt, capacity)
    this.softUntil = longer(this.softUntil, capacity)
    this.loadedAt = longer(this.loadedAt, capacity)
    this.stamps = longer(this.stamps, capacity)
    this.sizes = longer(this.sizes, capacity)
    this.hashes = longer(this.hashes, capacity)
    this.owners = longer(this.owners, capacity)
    this.touched = longer(this.touched, capacity)
    this.inMain = longer(this.inMain, capacity)
    this.newer = longer(this.newer, capacity)
    this.older = longer(this.older, capacity)
  }
}

type Numbers = Float64Array | Uint32Array | Int32Array | Uint16Array | Uint8Array

function longer<A extends Numbers>(array: A, length: number): A {
  const copy = new (array.constructor as new (length: number) => A)(length)
  copy.set(array)
  return copy
}
