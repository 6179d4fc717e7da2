import type { Shard } from '@wattle/redis'
import { Flight } from './flight.ts'
import { Flights } from './flights.ts'
import { frameNow } from './frames.ts'
import { KindL1, type Kept } from './kind-l1.ts'
import { isPlain, localKey, type Key, type KindName } from './kind-name.ts'
import type { LocalKind } from './local.ts'
import type { ReadOutcome } from './outcome.ts'
import type { Policy } from './policy.ts'
import type { Remote } from './remote.ts'
import { shardFor, type Space } from './space.ts'
import { isCovered, parseToken, type Position } from './token.ts'
import { Weight } from './weight.ts'
import { pendingFirst } from './write-behind/pending-first.ts'

export type ReadOptions = {
  /** Tags of the entry, in addition to the kind's. */
  readonly tags?: readonly string[] | undefined
  /** Instead of the kind's TTL. */
  readonly ttlMs?: number | undefined
  /** A token of `invalidate`: nothing older than that write, also where its message has not arrived yet. */
  readonly after?: string | undefined
}

/** What a caller asks for. */
export type Request = {
  /** Without one the flight only looks what is there. */
  readonly load: (() => unknown) | undefined
  /** Names of tags, encoded, that are known before the load. */
  readonly tags: readonly string[]
  /** Instead of the kind's. */
  readonly softMs?: number | undefined
  /** What the kind's loader is called with, where the kind has one. */
  readonly args?: readonly unknown[] | undefined
}

/** Stands between every load of a kind and the source; see `write-behind/overlay.ts`. */
export type Overlay = (encoded: string, load: () => unknown) => unknown

/** What is here, or what brings it. `isKept`: it is here already, and being stored. */
type Sight =
  | Kept
  | { readonly from: Flight; readonly promise: Promise<unknown>; readonly isKept: boolean }

const noTags: readonly string[] = []
/** As long as a proof of synchrony lasts. */
const joinWindowMs = 1_000
const warnEveryMs = 60_000

/** The reading of one kind of entry: from L1 at once, else by a flight. */
export class KindCore extends KindL1 implements LocalKind {
  readonly flights = new Flights()
  readonly companions = new Flights()
  readonly hasValueTags: boolean
  /** What its entries weigh in Redis. */
  readonly weight = new Weight()
  patternTick = 0
  overlay: Overlay | undefined
  #warnAgainMs = -Infinity
  readonly #valueTags: ((value: unknown) => readonly string[]) | undefined

  constructor({
    valueTags,
    ...common
  }: {
    names: KindName
    policy: Policy
    space: Space
    valueTags: ((value: unknown) => readonly string[]) | undefined
  }) {
    super(common)
    this.hasValueTags = valueTags !== undefined
    this.#valueTags = valueTags
    this.space.local.add(this)
  }

  /** The value; rejects only when the load does. */
  get(
    key: Key,
    load: () => unknown,
    options?: ReadOptions,
    args?: readonly unknown[],
  ): Promise<unknown> {
    const hit = options?.after === undefined ? this.probe(key) : undefined
    return hit ?? this.look(key, load, options, args)
  }

  /** The value, when L1 has nothing ready. */
  look(
    key: Key,
    load: () => unknown,
    options?: ReadOptions,
    args?: readonly unknown[],
  ): Promise<unknown> {
    this.#checkLoader(load)
    if (this.reads.left < 0) this.reads.take({ kind: this, key, load, options, args })
    const sight = this.#look(key, load, options, args)
    if (sight.from === undefined) return Promise.resolve(sight.value)
    return sight.promise
  }

  /** The same, with where it came from. */
  async read(
    key: Key,
    load: () => unknown,
    options?: ReadOptions,
    args?: readonly unknown[],
  ): Promise<ReadOutcome<unknown>> {
    this.#checkLoader(load)
    if (--this.reads.left < 0) this.reads.take({ kind: this, key, load, options, args })
    return this.#outcome(key, this.#look(key, load, options, args))
  }

  /** What the cache has; status `miss` when that is nothing. */
  async peek(key: Key, options?: ReadOptions): Promise<ReadOutcome<unknown>> {
    return this.#outcome(key, this.#look(key, undefined, options))
  }

  /** Loads an entry anew in the background, if nobody else does. */
  refresh(id: string, encoded: string, request: Request, storedAtMs: number): void {
    const name = `r${id}`
    if (request.load === undefined || this.companions.get(name)) return
    const flight = new Flight(this, name, encoded, request, { refreshOf: storedAtMs, id })
    this.companions.add(flight)
    flight.start('ordinary').catch(() => {})
  }

  loaded(milliseconds: number, failed: boolean): void {
    this.counts.loaded(milliseconds, failed)
  }

  /** Without one it would be a look, and say undefined for ever. */
  #checkLoader(load: unknown): void {
    if (typeof load === 'function') return
    throw new TypeError(`a read of ${this.name} was given no loader: give a function, or use peek`)
  }

  /** Counts a value that cannot be cached, and tells why, once a minute. */
  uncacheable(cause: unknown): void {
    this.counts.rejected('unserializable')
    const nowMs = this.space.now()
    if (nowMs < this.#warnAgainMs) return
    this.#warnAgainMs = nowMs + warnEveryMs
    this.space.log.warn(
      { err: cause, kind: this.name },
      `a value of ${this.name} is not cached: it, or its tags, cannot be encoded`,
    )
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

  /** Encoded names of the tags that the value says it has; `null`, like absence, says nothing. */
  valueTagsOf(value: unknown): readonly string[] {
    if (!this.#valueTags || value === undefined || value === null) return noTags
    return this.space.tags.encode(this.#valueTags(value))
  }

  async #outcome(of: Key, sight: Sight): Promise<ReadOutcome<unknown>> {
    const key = this.names.redisKey(this.names.encode(of))
    if (sight.from === undefined) {
      const { value, status, tier, ageMs, ttlMs } = sight
      return { value: await value, status, tier, key, ageMs, ttlMs }
    }
    const { from, promise, isKept } = sight
    const value = await promise
    const { status = 'miss', tier, ageMs, ttlMs } = from
    if (isKept) return { value, status: 'hit', tier: 'l1', key, ageMs, ttlMs }
    return { value, status, tier, key, ageMs, ttlMs }
  }

  #look(
    key: Key,
    source: (() => unknown) | undefined,
    options?: ReadOptions,
    args?: readonly unknown[],
  ): Sight {
    const isName = isPlain(key)
    const encoded = isName ? key : this.names.encode(key)
    const id = isName ? key : localKey(encoded)
    const load = source && pendingFirst(this, encoded, source)
    const position = options?.after === undefined ? undefined : parseToken(options.after)
    const shard = this.shardOf(encoded)
    const covered =
      options?.after === undefined || (position !== undefined && isCovered(shard, position))
    if (covered) {
      const kept = this.here(id, load !== undefined)
      if (kept?.refreshOf !== undefined) {
        this.refresh(id, encoded, this.requestOf(load, options, args), kept.refreshOf)
      }
      if (kept) return kept
      const flight = this.flights.get(id)
      // Who only looks does not wait for a load.
      const present = load || flight?.status ? flight : this.companions.get(`p${id}`)
      const joined = present && this.#join(present)
      if (joined) return joined
      if (present) present.poisoned = true
    } else {
      // There is something newer than what is kept; who reads without a token after this must not go back.
      this.space.local.remove(this, id)
    }
    const request = this.requestOf(load, options, args)
    const flight = new Flight(this, load ? id : `p${id}`, encoded, request, { id })
    flight.within?.awaits.add(flight)
    if (covered) {
      // Invalidations will find this one under the name, and the former no more.
      ;(load ? this.flights : this.companions).add(flight)
    }
    // Nobody else hears of it, an invalidation neither: so nothing of it is kept here.
    else flight.poisoned = flight.solo = true
    const mode = covered ? 'ordinary' : isReachable(shard, position) ? 'exact' : 'bypass'
    return { from: flight, promise: flight.start(mode), isKept: false }
  }

  /** Waits for a flight that is under way, or takes what it brought while that is being stored. */
  #join(flight: Flight): Sight | undefined {
    if (!this.space.local.joinable(flight)) return undefined
    const nowMs = this.space.now()
    const isTrusted = nowMs < flight.shard.trustedUntilMs
    if (!flight.status) {
      // Who may have missed an invalidation waits for nothing that began long ago.
      if (!isTrusted && nowMs - flight.startedMs > joinWindowMs) return undefined
      flight.callers++
      const isOpen = this.#mayWait(flight)
      const promise = isOpen ? flight.shared() : Promise.reject(waitsForItself(this.name))
      return { from: flight, promise, isKept: false }
    }
    // Now it is a value kept in this process like those of L1.
    if (!isTrusted) return undefined
    const isKept = flight.status !== 'stale'
    if (isKept) this.counts.l1Hits++
    else this.counts.read('stale', 'l2', 1)
    return { from: flight, promise: flight.shared(), isKept }
  }

  /** Not in a loader that the flight itself waits for. */
  #mayWait(flight: Flight): boolean {
    const frame = frameNow()
    return !frame || this.space.loads.awaitedIn(frame, flight)
  }

  requestOf(
    load: (() => unknown) | undefined,
    options: ReadOptions | undefined,
    args?: readonly unknown[],
  ): Request {
    const tags = options?.tags
    return {
      load,
      tags: tags === undefined || tags.length === 0 ? noTags : this.space.tags.encode(tags),
      softMs: options?.ttlMs,
      args,
    }
  }
}

const isReachable = (shard: Shard, position: Position | undefined) =>
  position?.get(shard.index)?.epoch === shard.epoch

const waitsForItself = (kind: string) =>
  new Error(`a load of ${kind} would wait for itself: its loader reads the key that it loads`)
