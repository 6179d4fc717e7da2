import { AsyncResource } from 'node:async_hooks'
import type { Shard } from '@wattle/redis'
import { decodePayload, Sealed } from './codec.ts'
import type { Key, KindName } from './kind-name.ts'
import type { Index } from './l1/l1.ts'
import { alwaysCheck, refreshAsked, type TagState } from './local.ts'
import type { ReadOutcome } from './outcome.ts'
import type { Policy } from './policy.ts'
import type { Space } from './space.ts'
import type { KindCounts } from './statistics.ts'

/** What L1 has of an entry; the value as it is, or as a promise. */
export type Kept = Omit<ReadOutcome<unknown>, 'key'> & {
  readonly from: undefined
  /** When it was stored, if it is to be refreshed now. */
  readonly refreshOf: number | undefined
}

const noStates: readonly TagState[] = []
/** A promise that belongs to nobody's request: it lives as long as the entry, and would keep that request's context alive. */
const settled = AsyncResource.bind((value: unknown) => Promise.resolve(value))

/** One kind's entries in L1, and which of them may be served. */
export class KindL1 {
  readonly name: string
  readonly names: KindName
  readonly policy: Policy
  readonly space: Space
  readonly counts: KindCounts
  readonly index: Index
  /** Tick of the last move of the kind's generation. */
  floor = 0
  readonly l1: Space['local']['l1']
  protected readonly reads: Space['reads']
  readonly #local: Space['local']
  readonly #clock: Space['clock']

  constructor({ names, policy, space }: { names: KindName; policy: Policy; space: Space }) {
    this.names = names
    this.name = names.name
    this.policy = policy
    this.space = space
    this.counts = space.statistics.kind(names.name)
    this.index = space.local.l1.createIndex()
    this.l1 = space.local.l1
    this.reads = space.reads
    this.#local = space.local
    this.#clock = space.clock
  }

  /** The value, when L1 has it ready to be handed out. The hot path: nothing is called or made that is not needed. */
  probe(key: Key): Promise<unknown> | undefined {
    // One in many is looked at more closely, and takes the longer way.
    if (--this.reads.left < 0) return undefined
    // A caller's string is a name of L1 as it is, unless it begins with the mark of those that are not.
    if (typeof key !== 'string' || key.charCodeAt(0) === 0) return undefined
    const slot = this.index.get(key)
    if (slot === undefined) return undefined
    const { l1 } = this
    const nowMs = this.#clock.nowMs()
    if (
      nowMs >= (l1.checkAt[slot] as number) ||
      nowMs >= (l1.shards[slot] as Shard).trustedUntilMs ||
      (l1.stamps[slot] !== this.#local.tick && !this.#isCurrent(slot))
    ) {
      return undefined
    }
    l1.hit(slot)
    this.counts.l1Hits++
    const kept = l1.values[slot]
    if (kept instanceof Promise) return kept
    // One for all hits of the entry: to make one costs a fifth of a hit.
    const promise = settled(kept)
    l1.values[slot] = promise
    return promise
  }

  /** The same with a closer look. `mayRefresh`: who asks can load it anew. */
  here(id: string, mayRefresh: boolean): Kept | undefined {
    const slot = this.index.get(id)
    if (slot === undefined) return undefined
    const nowMs = this.space.now()
    if (!this.#isServed(slot, nowMs)) return undefined
    const l1 = this.l1
    const shard = l1.shards[slot] as Shard
    const softUntil = l1.softUntil[slot] ?? 0
    const kept = l1.values[slot]
    const loadedAt = l1.loadedAt[slot] ?? 0
    const isSealed = kept instanceof Sealed
    const value = isSealed ? decodePayload(kept.entry) : kept
    const ageMs = Math.max(0, shard.clock.nowMs() - loadedAt)
    const checkAt = l1.checkAt[slot] ?? 0
    const due = isSealed
      ? checkAt === alwaysCheck &&
        nowMs >= softUntil - kept.entry.softMs * (1 - this.policy.refreshShare)
      : nowMs >= checkAt
    const refreshOf = mayRefresh && due ? loadedAt : undefined
    if (refreshOf !== undefined) l1.checkAt[slot] = isSealed ? refreshAsked : softUntil
    l1.hit(slot)
    this.counts.l1Hits++
    const ttlMs = softUntil - nowMs
    return { from: undefined, value, status: 'hit', tier: 'l1', ageMs, ttlMs, refreshOf }
  }

  /** Where L1 holds the entry, if it may be served now. */
  slotOf(id: string): number | undefined {
    const slot = this.index.get(id)
    return slot !== undefined && this.#isServed(slot, this.space.now()) ? slot : undefined
  }

  #isServed(slot: number, nowMs: number): boolean {
    const { shards, softUntil } = this.l1
    const shard = shards[slot]
    return (
      shard !== undefined &&
      nowMs < shard.trustedUntilMs &&
      nowMs < (softUntil[slot] ?? 0) &&
      this.#isCurrent(slot)
    )
  }

  /**
   * Whether nothing that was applied since the entry's stamp concerns it. Then its stamp is moved to the present, so that
   * this is looked at once after each invalidation, and not at every hit.
   */
  #isCurrent(slot: number): boolean {
    const { stamps, tags } = this.l1
    const stamp = stamps[slot] as number
    if (stamp < this.floor) return false
    for (const tag of tags[slot] ?? noStates) {
      if (tag.deletedTick > stamp || tag.expiredTick > stamp) return false
    }
    stamps[slot] = this.#local.tick
    return true
  }
}
