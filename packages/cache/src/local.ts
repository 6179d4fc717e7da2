import type { Shard } from '@wattle/redis'
import { Sealed } from './codec.ts'
import type { Ages } from './entry.ts'
import type { Flight } from './flight.ts'
import type { Flights } from './flights.ts'
import { L1, type Index } from './l1/l1.ts'
import { localKey } from './kind-name.ts'
import type { Message } from './refs.ts'

/** What is known of a tag in this process. Ticks count what was applied here, in order. */
export type TagState = {
  readonly name: string
  deletedTick: number
  expiredTick: number
  /** Entries of L1 that carry it. */
  entries: number
}

/** What of a kind the local tier needs. */
export type LocalKind = {
  readonly name: string
  readonly index: Index
  readonly flights: Flights
  /** Flights that nobody with a loader joins: refreshes under `r` and the key, looks without a loader under `p` and the key. */
  readonly companions: Flights
  /** Whether a tag may be computed from the value, so that it is not known which tags a flight will carry. */
  readonly hasValueTags: boolean
  /** Tick of the last move of the kind's generation. */
  floor: number
  /** Tick of the last pattern of this kind. */
  patternTick: number
}

/** `checkAt` of what readers may not share: each of them looks closer; and the same once it is being refreshed. */
export const alwaysCheck = -Infinity
export const refreshAsked = Number.MIN_SAFE_INTEGER

/** Tags that no entry carries are remembered this long, for the flights that may still bring one. */
const mostUnusedTags = 4_096

/**
 * What this process keeps: the entries of L1, the flights under way, and what invalidations mean for both.
 *
 * Every invalidation gets a tick. An entry carries the tick at which its flight began, and is valid while no tag of it, and
 * not its kind, has a later one; so that a tag of a million entries costs one number. Keys are removed at once. A
 * flight is treated in the same way: it may be joined, and its value kept, while nothing later concerns it.
 */
export class Local {
  readonly l1: L1<unknown, readonly TagState[], Shard>
  tick = 1
  readonly #kinds = new Map<string, LocalKind[]>()
  readonly #tags = new Map<string, TagState>()
  readonly #unused: TagState[] = []
  /** Flights from before this tick cannot know about all tags any more. */
  #tagFloor = 0
  #lastTagTick = 0
  #lostTick = 0

  constructor(bounds: { maxEntries: number; maxBytes: number }) {
    this.l1 = new L1({ ...bounds, onEvict: (slot) => this.#untag(slot) })
  }

  add(kind: LocalKind): void {
    const same = this.#kinds.get(kind.name)
    if (same) same.push(kind)
    else this.#kinds.set(kind.name, [kind])
  }

  apply({ e, t, x, g, p }: Message): void {
    const tick = ++this.tick
    if (e) for (const name in e) this.#each(name, (kind) => this.#removeKeys(kind, e[name] ?? []))
    if (t) {
      this.#lastTagTick = tick
      for (const name of t) this.#tagOf(name).deletedTick = tick
    }
    if (x) {
      this.#lastTagTick = tick
      for (const name of x) this.#tagOf(name).expiredTick = tick
    }
    if (g) {
      for (const name of g) {
        this.#each(name, (kind) => {
          kind.floor = tick
        })
      }
    }
    if (p)
      for (const [name, beginning] of p)
        this.#each(name, (kind) => this.#removePattern(kind, beginning))
  }

  /** Something may have been missed: nothing that is here may be used. */
  lose(): void {
    this.#lostTick = ++this.tick
    this.l1.clear()
    this.#tags.clear()
    this.#unused.length = 0
    this.#tagFloor = this.tick
  }

  /** Whether who comes now may wait for it, instead of looking anew. */
  joinable(flight: Flight): boolean {
    const { kind, startTick, request } = flight
    if (flight.poisoned || !this.#isCurrent(kind, startTick)) return false
    if (this.#lastTagTick <= startTick) return true
    return !kind.hasValueTags && this.tagsCurrent(request.tags, startTick)
  }

  tagsCurrent(tags: readonly string[], tick: number): boolean {
    if (tags.length === 0) return true
    if (tick < this.#tagFloor) return false
    return tags.every((name) => {
      const state = this.#tags.get(name)
      return !state || (state.deletedTick <= tick && state.expiredTick <= tick)
    })
  }

  /** Keeps what a flight brought, unless it was invalidated meanwhile, or this process may not be up to date. */
  keep(flight: Flight, value: unknown, ages: Ages, bytes: number, names: readonly string[]): void {
    const { kind, id, shard, startTick } = flight
    const { space, policy } = kind
    const nowMs = space.now()
    if (flight.poisoned || !space.enabled || nowMs >= shard.trustedUntilMs) return
    if (!this.#isCurrent(kind, startTick) || !this.tagsCurrent(names, startTick)) return
    this.#drop(kind, id)
    const states = names.length === 0 ? undefined : this.#carried(names)
    const ageMs = flight.ageOf(ages)
    const softUntil = nowMs + ages.softMs - ageMs
    const refreshAt = nowMs + ages.softMs * policy.refreshShare - ageMs
    const slot = this.l1.insert(
      kind.index,
      id,
      value,
      bytes + id.length,
      // What readers may not share is looked at each time.
      value instanceof Sealed ? alwaysCheck : Math.min(softUntil, refreshAt),
      softUntil,
      ages.storedAtMs,
      startTick,
      states,
      shard,
    )
    if (slot < 0 && states) for (const state of states) this.#release(state)
  }

  /** Tags for one entry more; each counts at once, lest the next one push it out of memory. */
  #carried(names: readonly string[]): TagState[] {
    return names.map((name) => {
      const state = this.#tagOf(name)
      state.entries++
      return state
    })
  }

  /** A flight has landed: what is kept under its key, or still under way, may be older than what its readers have seen. */
  supersede(kind: LocalKind, flight: Flight): void {
    const { id } = flight
    if (kind.index.size > 0) this.#drop(kind, id)
    if (kind.flights.get(id) !== flight) kind.flights.poison(id)
    if (kind.companions.size === 0) return
    for (const name of [`r${id}`, `p${id}`]) {
      if (kind.companions.get(name) !== flight) kind.companions.poison(name)
    }
  }

  remove(kind: LocalKind, id: string): void {
    this.#drop(kind, id)
    kind.flights.poison(id)
    if (kind.companions.size > 0) {
      kind.companions.poison(`r${id}`)
      kind.companions.poison(`p${id}`)
    }
  }

  #isCurrent({ floor, patternTick }: LocalKind, tick: number): boolean {
    return tick >= floor && tick >= patternTick && tick >= this.#lostTick
  }

  #each(name: string, act: (kind: LocalKind) => void): void {
    if (name === '*') for (const same of this.#kinds.values()) same.forEach(act)
    else this.#kinds.get(name)?.forEach(act)
  }

  #removeKeys(kind: LocalKind, encoded: readonly string[]): void {
    for (const key of encoded) this.remove(kind, localKey(key))
  }

  #removePattern(kind: LocalKind, beginning: string): void {
    kind.patternTick = this.tick
    for (const id of kind.index.keys()) {
      if ((id.startsWith('\0') ? id.slice(1) : id).startsWith(beginning)) this.#drop(kind, id)
    }
  }

  #drop(kind: LocalKind, id: string): void {
    const slot = kind.index.get(id)
    if (slot === undefined) return
    this.#untag(slot)
    this.l1.removeSlot(slot)
  }

  #untag(slot: number): void {
    const states = this.l1.tags[slot]
    if (states) for (const state of states) this.#release(state)
  }

  #release(state: TagState): void {
    state.entries--
    if (state.entries === 0) this.#remember(state)
  }

  #tagOf(name: string): TagState {
    let state = this.#tags.get(name)
    if (!state) {
      state = { name, deletedTick: 0, expiredTick: 0, entries: 0 }
      this.#tags.set(name, state)
      this.#remember(state)
    }
    return state
  }

  /** Keeps a tag that no entry carries, and forgets the one that was kept longest. */
  #remember(state: TagState): void {
    this.#unused.push(state)
    if (this.#unused.length <= mostUnusedTags * 2) return
    for (const old of this.#unused.splice(0, mostUnusedTags)) {
      if (old.entries > 0 || this.#tags.get(old.name) !== old) continue
      this.#tags.delete(old.name)
      this.#tagFloor = Math.max(this.#tagFloor, old.deletedTick, old.expiredTick)
    }
  }
}
