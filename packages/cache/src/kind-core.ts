import type { Shard } from '@wattle/redis'
import { decodePayload, Sealed } from './codec.ts'
import { Flight, type Request } from './flight.ts'
import { localKey, type Key, type KindName } from './kind-name.ts'
import type { Index } from './l1/l1.ts'
import type { LocalKind, TagState } from './local.ts'
import type { Landing, ReadOutcome } from './outcome.ts'
import type { Policy } from './policy.ts'
import type { Remote } from './remote.ts'
import { shardFor, type Space } from './space.ts'
import type { KindCounts } from './statistics.ts'
import { isCovered, parseToken, type Position } from './token.ts'

export type ReadOptions = {
  /** Tags of the entry, in addition to the kind's. */
  readonly tags?: readonly string[] | undefined
  /** Instead of the kind's TTL. */
  readonly ttlMs?: number | undefined
  /** A token of `invalidate`: nothing older than that write, also where its message has not arrived yet. */
  readonly after?: string | undefined
}

/** Stands between every load of a kind and the source; see `write-behind/overlay.ts`. */
export type Overlay = (encoded: string, load: () => unknown) => unknown

const noTags: readonly string[] = []
const valueOf = ({ value, copy }: Landing): unknown => (copy ? copy() : value)

/** The reading of one kind of entry: from L1 at once, else by a flight. */
export class KindCore implements LocalKind {
  readonly name: string
  readonly names: KindName
  readonly policy: Policy
  readonly space: Space
  readonly counts: KindCounts
  readonly index: Index
  readonly flights = new Map<string, Flight>()
  readonly companions = new Map<string, Flight>()
  readonly hasValueTags: boolean
  floor = 0
  patternTick = 0
  overlay: Overlay | undefined
  readonly #valueTags: ((value: unknown) => readonly string[]) | undefined
  readonly clock: Space['clock']
  readonly l1: Space['local']['l1']

  constructor({
    names,
    policy,
    space,
    valueTags,
  }: {
    names: KindName
    policy: Policy
    space: Space
    valueTags: ((value: unknown) => readonly string[]) | undefined
  }) {
    this.names = names
    this.name = names.name
    this.policy = policy
    this.space = space
    this.counts = space.statistics.kind(names.name)
    this.index = space.local.l1.createIndex()
    this.hasValueTags = valueTags !== undefined
    this.#valueTags = valueTags
    this.clock = space.clock
    this.l1 = space.local.l1
    space.local.add(this)
  }

  /** The value; rejects only when the load does. `load` and `tags` are called only when L1 has no answer. */
  get(key: Key, load: () => unknown, options?: ReadOptions): Promise<unknown> {
    if (typeof key === 'string' && (options === undefined || options.after === undefined)) {
      const slot = this.index.get(key)
      // A caller's string is a name of L1 as it is, unless it begins with the mark of those that are not.
      if (slot !== undefined && key.charCodeAt(0) !== 0) {
        const l1 = this.l1
        const nowMs = this.clock.nowMs()
        const stamp = l1.stamps[slot] as number
        if (
          nowMs < (l1.checkAt[slot] as number) &&
          nowMs < (l1.shards[slot] as Shard).trustedUntilMs &&
          stamp >= this.floor &&
          areCurrent(l1.tags[slot], stamp)
        ) {
          l1.hit(slot)
          this.counts.l1Hits++
          return Promise.resolve(l1.values[slot])
        }
      }
    }
    return this.#look(key, load, options).then(valueOf)
  }

  /** The same, with where it came from. */
  async read(key: Key, load: () => unknown, options?: ReadOptions): Promise<ReadOutcome<unknown>> {
    const landing = await this.#look(key, load, options)
    return this.#outcome(key, landing)
  }

  /** What the cache has; status `miss` when that is nothing. */
  async peek(key: Key, options?: ReadOptions): Promise<ReadOutcome<unknown>> {
    const landing = await this.#look(key, undefined, options)
    return this.#outcome(key, landing)
  }

  /** Loads an entry anew in the background, if nobody else does. */
  refresh(id: string, encoded: string, request: Request, storedAtMs: number): void {
    const name = `r${id}`
    if (request.load === undefined || this.companions.has(name)) return
    const flight = new Flight(this, name, encoded, request, { refreshOf: storedAtMs, id })
    this.companions.set(name, flight)
    flight.promise.catch(() => {})
    flight.start('ordinary')
  }

  loaded(milliseconds: number, failed: boolean): void {
    this.counts.loaded(milliseconds, failed)
  }

  shardOf(encoded: string): Shard {
    return shardFor(this.space.channel.shards, encoded)
  }

  remoteOf(shard: Shard): Remote {
    return this.space.remotes[shard.index] as Remote
  }

  entryKey(encoded: string, shard: Shard): string {
    return this.names.redisKey(encoded) + this.space.channel.suffixOf(shard)
  }

  leaseKey(encoded: string, shard: Shard): string {
    return `${this.names.redisKey(encoded)}:~lease${this.space.channel.suffixOf(shard)}`
  }

  tagKeys(encodedTags: readonly string[], shard: Shard): readonly string[] {
    if (encodedTags.length === 0) return noTags
    return encodedTags.map((tag) => this.space.tags.key(tag, shard))
  }

  /** Encoded names of the tags that the value says it has. */
  valueTagsOf(value: unknown): readonly string[] {
    return this.#valueTags ? this.space.tags.encode(this.#valueTags(value)) : noTags
  }

  #outcome(key: Key, { copy, ...landing }: Landing): ReadOutcome<unknown> {
    const value = copy ? copy() : landing.value
    return { ...landing, value, key: this.names.redisKey(this.names.encode(key)) }
  }

  #look(key: Key, source: (() => unknown) | undefined, options?: ReadOptions): Promise<Landing> {
    const encoded = this.names.encode(key)
    const { overlay } = this
    const load = overlay && source ? () => overlay(encoded, source) : source
    const id = localKey(encoded)
    const position = options?.after === undefined ? undefined : parseToken(options.after)
    const shard = this.shardOf(encoded)
    const covered =
      options?.after === undefined || (position !== undefined && isCovered(shard, position))
    if (covered) {
      const landing = this.#here(id, encoded, load, options)
      if (landing) return Promise.resolve(landing)
      const present = this.flights.get(id) ?? (load ? undefined : this.companions.get(`p${id}`))
      const joined = present && this.#join(present)
      if (joined) return joined
      if (present) present.poisoned = true
    }
    const flight = new Flight(this, load ? id : `p${id}`, encoded, this.#request(load, options), {
      id,
    })
    if (covered) (load ? this.flights : this.companions).set(flight.name, flight)
    // Nobody else hears of it, an invalidation neither: so nothing of it is kept here.
    else flight.poisoned = true
    flight.start(covered ? 'ordinary' : isReachable(shard, position) ? 'exact' : 'bypass')
    return flight.promise
  }

  /** Waits for a flight that is under way, or takes what it brought while that is being stored. */
  #join(flight: Flight): Promise<Landing> | undefined {
    if (!this.space.local.joinable(flight)) return undefined
    if (!flight.landed) {
      flight.callers++
      return flight.promise
    }
    // Now it is a value kept in this process like those of L1.
    if (this.space.now() >= flight.shard.trustedUntilMs) return undefined
    this.counts.l1Hits++
    return flight.promise.then((landing) => ({ ...landing, status: 'hit', tier: 'l1' }))
  }

  /** What L1 has, with a closer look than `get` takes. */
  #here(
    id: string,
    encoded: string,
    load: (() => unknown) | undefined,
    options: ReadOptions | undefined,
  ): Landing | undefined {
    const slot = this.index.get(id)
    if (slot === undefined) return undefined
    const l1 = this.l1
    const nowMs = this.space.now()
    const shard = l1.shards[slot]
    const stamp = l1.stamps[slot] ?? 0
    const softUntil = l1.softUntil[slot] ?? 0
    if (
      !shard ||
      nowMs >= shard.trustedUntilMs ||
      nowMs >= softUntil ||
      stamp < this.floor ||
      !areCurrent(l1.tags[slot], stamp)
    ) {
      return undefined
    }
    const kept = l1.values[slot]
    const loadedAt = l1.loadedAt[slot] ?? 0
    let value = kept
    if (kept instanceof Sealed) {
      value = decodePayload(kept.entry)
    } else if (load && nowMs >= (l1.checkAt[slot] ?? 0)) {
      l1.checkAt[slot] = softUntil
      this.refresh(id, encoded, this.#request(load, options), loadedAt)
    }
    l1.hit(slot)
    this.counts.l1Hits++
    const ageMs = Math.max(0, shard.clock.nowMs() - loadedAt)
    return { value, status: 'hit', tier: 'l1', ageMs, ttlMs: softUntil - nowMs, copy: undefined }
  }

  #request(load: (() => unknown) | undefined, options: ReadOptions | undefined): Request {
    const tags = options?.tags
    return {
      load,
      tags: tags === undefined || tags.length === 0 ? noTags : this.space.tags.encode(tags),
      softMs: options?.ttlMs,
    }
  }
}

/** Whether no tag was invalidated since the entry's flight began. */
function areCurrent(tags: readonly TagState[] | undefined, stamp: number): boolean {
  if (tags === undefined) return true
  for (let at = 0; at < tags.length; at++) {
    const tag = tags[at] as TagState
    if (tag.deletedTick > stamp || tag.expiredTick > stamp) return false
  }
  return true
}

const isReachable = (shard: Shard, position: Position | undefined) =>
  position?.get(shard.index)?.epoch === shard.epoch
