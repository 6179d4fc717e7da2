import { none } from './slots.ts'

type Links = { newer: Int32Array; older: Int32Array; sizes: Uint32Array }

/** A queue of slots, linked through `slots`: push at the newest end, take any out, each in constant time. */
export class Queue {
  oldest = none
  entries = 0
  bytes = 0
  readonly #slots: Links
  #newest = none

  constructor(slots: Links) {
    this.#slots = slots
  }

  push(slot: number): void {
    const { newer, older, sizes } = this.#slots
    older[slot] = this.#newest
    newer[slot] = none
    if (this.#newest === none) this.oldest = slot
    else newer[this.#newest] = slot
    this.#newest = slot
    this.entries++
    this.bytes += sizes[slot] ?? 0
  }

  remove(slot: number): void {
    const { newer, older, sizes } = this.#slots
    const after = newer[slot] ?? none
    const before = older[slot] ?? none
    if (after === none) this.#newest = before
    else older[after] = before
    if (before === none) this.oldest = after
    else newer[before] = after
    this.entries--
    this.bytes -= sizes[slot] ?? 0
  }

  clear(): void {
    this.oldest = none
    this.#newest = none
    this.entries = 0
    this.bytes = 0
  }
}
