import type { Shard } from '@wattle/redis'
import { decodePayload, freezeIfPlain, Sealed, unpack } from './codec.ts'
import { decodeEntry, headerLength, type Ages, type Entry } from './entry.ts'
import { frameNow, type Frame } from './frames.ts'
import type { Generations } from './generations.ts'
import type { ReadJob } from './jobs.ts'
import type { KindCore, Request } from './kind-core.ts'
import { Loading } from './loading.ts'
import type { ReadStatus, ReadTier } from './outcome.ts'
import { ordinaryWindowMs } from './reading.ts'

type Found = { readonly entry: Entry; readonly tags: readonly (Buffer | null)[] }

/**
 * One read of one key that L1 could not answer. Everybody in this process who asks for the key meanwhile shares it.
 *
 *     read L2 ── hit ───────────────────▶ land
 *        │ miss                             ▲
 *        └──────▶ loading (loading.ts) ─────┘
 *
 * It lands once; what follows (fill, L1) goes on without the callers. An invalidation of its key poisons it: who waits
 * gets the value, who comes later starts anew, and nothing of it is kept. In L2 the same invalidation removed the lease,
 * without which the fill is refused.
 *
 * There is one for every read that leaves the process, so it is itself what `remote.ts` is asked with, and nothing but
 * its promise holds the value: what lives while Redis is waited for is what the garbage collector copies.
 */
export class Flight implements ReadJob {
  readonly kind: KindCore
  /** Among the kind's flights or companions. */
  readonly name: string
  readonly id: string
  readonly encoded: string
  readonly shard: Shard
  readonly request: Request
  readonly startTick: number
  readonly startedMs: number
  /** Its name in Redis, and those of the tags that are asked for with it. */
  readonly entry: string
  tagKeys: readonly string[]
  /** Of the first caller, who may change what cannot be shared. Gone when the flight has ended. */
  promise: Promise<unknown> | undefined
  poisoned = false
  /** For a reader who must not get what others may: nothing of it is kept. */
  solo = false
  callers = 1
  /** The load whose loader waits for it. */
  within: Frame | undefined = frameNow()
  /** Where the value came from, once it has landed. */
  status: ReadStatus | undefined
  tier: ReadTier = 'source'
  /** Time since it was stored, and until it is no longer fresh; both 0 where nothing is stored. */
  ageMs = 0
  ttlMs = 0
  /** Makes one for each further caller, where readers must not share one object. */
  copy: (() => unknown) | undefined
  /** What may be served when the load fails or takes long. */
  stale: Entry | undefined
  /** What the load replaces, if nothing invalidated it. */
  previous: Entry | undefined
  /** Whether its value went into L2. */
  stored = false
  /** Whether Redis left something of it without an answer. */
  unheard = false
  /** A refresh in the background: of the entry stored at this time. Nobody waits for its value, and it is not counted as a read. */
  readonly refreshOf: number | undefined
  #resolve: (value: unknown) => void
  #reject: (cause: unknown) => void
  /** What was found first, while the tags that only it knows of are asked for. */
  #found: Found | undefined
  #exactly = false
  loading: Loading | undefined
  readonly #onEnd: (() => void) | undefined

  constructor(
    kind: KindCore,
    name: string,
    encoded: string,
    request: Request,
    { id, refreshOf, onEnd }: { id: string; refreshOf?: number; onEnd?: () => void },
  ) {
    this.kind = kind
    this.name = name
    this.id = id
    this.encoded = encoded
    this.request = request
    const shard = kind.shardOf(encoded)
    this.shard = shard
    this.startTick = kind.space.local.tick
    this.startedMs = kind.space.now()
    this.entry = kind.entryKey(encoded, shard)
    this.tagKeys = kind.tagKeys(request.tags, shard)
    this.refreshOf = refreshOf
    this.#onEnd = onEnd
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.promise = promise
    this.#resolve = resolve
    this.#reject = reject
  }

  /** `exact`: what is read must belong to the history that this process follows, as it always must for a strict kind. */
  start(mode: 'ordinary' | 'exact' | 'bypass'): Promise<unknown> {
    const { kind, shard, promise, startedMs } = this
    this.#exactly = mode === 'exact' || kind.policy.strict
    const isAsked = mode !== 'bypass' && kind.space.enabled && shard.available && shard.settled
    const isProven = this.#exactly
      ? startedMs < shard.trustedUntilMs
      : startedMs - shard.lastProofMs <= ordinaryWindowMs
    if (isAsked && isProven) this.read()
    else this.#bypass()
    return promise!
  }

  /** The value for one caller more. */
  shared(): Promise<unknown> {
    const { promise } = this
    if (!promise) throw new Error('a flight that has ended is among those that may be joined')
    return promise.then((value) => (this.copy ? this.copy() : value))
  }

  read(): void {
    this.kind.remoteOf(this.shard)[this.#exactly ? 'readStrictly' : 'read'](this)
  }

  unanswered(): void {
    this.unheard = true
    this.#bypass()
  }

  answered(
    bytes: Buffer | null,
    tags: Found['tags'],
    generations: Generations,
    epoch: string | undefined,
  ): void {
    if (this.#exactly && epoch !== this.shard.epoch) {
      this.shard.look()
      return this.#bypass()
    }
    const entry = decodeEntry(bytes)
    if (this.#found) return this.#judgeAgain(this.#found, bytes, tags)
    if (
      !entry ||
      entry.sequence < generations.of(this.kind.name) ||
      (this.#exactly && entry.epoch !== this.shard.epoch)
    ) {
      return this.#load(bytes)
    }
    if (entry.tags.length > 0) {
      const { tags: known } = this.request
      const more = entry.tags.filter((name) => !known.includes(name))
      if (more.length > 0) return this.#askFor(more, { entry, tags })
    }
    this.#judge(entry, tags)
  }

  /** Tags that only the entry knows of. */
  #askFor(more: readonly string[], found: Found): void {
    this.#found = found
    this.tagKeys = this.kind.tagKeys(more, this.shard)
    this.read()
  }

  /** They say nothing if Redis was emptied in between. */
  #judgeAgain({ entry, tags }: Found, bytes: Buffer | null, more: Found['tags']): void {
    this.#found = undefined
    this.tagKeys = this.kind.tagKeys(this.request.tags, this.shard)
    if (bytes && headerOf(bytes).equals(headerOf(entry.bytes))) {
      this.#judge(entry, [...tags, ...more])
    } else this.#load(entry.bytes)
  }

  #judge(entry: Entry, tags: Found['tags']): void {
    let expired = false
    for (const tag of tags) {
      if (!tag) continue
      const [deletion = '0', expiry = '0'] = tag.toString('latin1').split(':')
      if (Number(deletion) > entry.sequence) return this.#load(entry.bytes)
      if (Number(expiry) > entry.sequence) expired = true
    }
    const ageMs = this.ageOf(entry)
    if (ageMs >= entry.hardMs) return this.#load(entry.bytes)
    if (!expired) this.previous = entry
    if (expired || ageMs >= entry.softMs) {
      this.stale = entry
      return this.#load(entry.bytes)
    }
    const { refreshOf } = this
    if (refreshOf !== undefined && entry.storedAtMs <= refreshOf) return this.#load(entry.bytes)
    const { policy, space } = this.kind
    const isShared = entry.codec === 'j' || entry.codec === 'J' || entry.codec === '-'
    let value: unknown
    // What L1 counts it for: the object that it keeps takes no less for having been compressed.
    let size = entry.bytes.length
    try {
      if (entry.codec === 'J') {
        const text = unpack(entry)
        size = entry.payloadAt + text.length
        value = JSON.parse(text.toString())
      } else value = decodePayload(entry)
    } catch {
      return this.#load(entry.bytes)
    }
    if (isShared && (policy.l1 || this.callers > 1)) freezeIfPlain(value)
    const copy = isShared ? undefined : () => decodePayload(entry)
    this.land(value, 'hit', 'l2', ageMs, entry.softMs - ageMs, copy)
    if (policy.l1) {
      const kept = isShared ? value : new Sealed(entry)
      space.local.keep(this, kept, entry, size, entry.tags)
    }
    this.end()
    if (refreshOf === undefined && ageMs >= entry.softMs * policy.refreshShare) {
      this.kind.refresh(this.id, this.encoded, this.request, entry.storedAtMs)
    }
  }

  /** `bytes`: of the entry that is there and may not be served. */
  #load(bytes: Buffer | null): void {
    if (this.request.load === undefined) return this.nothing()
    this.loading ??= new Loading(this)
    this.loading.take(bytes ? headerOf(bytes) : '')
  }

  #bypass(): void {
    if (this.request.load === undefined) return this.nothing()
    this.loading ??= new Loading(this)
    this.loading.alone('bypass')
  }

  /** Who only looks gets what is stale, or nothing. */
  nothing(): void {
    this.landStale()
    this.land(undefined, 'miss', 'source', 0, 0, undefined)
    this.end()
  }

  ageOf({ storedAtMs }: Ages): number {
    return Math.max(0, this.shard.clock.nowMs() - storedAtMs)
  }

  /** What is there past its time, if anything is. */
  landStale(): void {
    const { stale } = this
    if (!stale || this.status) return
    let value: unknown
    try {
      value = decodePayload(stale)
    } catch {
      this.stale = undefined
      return
    }
    const copy = freezeIfPlain(value) ? undefined : () => decodePayload(stale)
    this.land(copy ? copy() : value, 'stale', 'l2', this.ageOf(stale), 0, copy)
  }

  /** Answers all callers. `value` is the first one's. */
  land(
    value: unknown,
    status: ReadStatus,
    tier: ReadTier,
    ageMs: number,
    ttlMs: number,
    copy: (() => unknown) | undefined,
  ): void {
    if (this.status) return
    this.status = status
    this.tier = tier
    this.ageMs = ageMs
    this.ttlMs = ttlMs
    this.copy = copy
    if (this.refreshOf === undefined) {
      const { policy, space, counts } = this.kind
      counts.read(status, tier, this.callers)
      // Who reads the key after this must not go back behind it.
      if (policy.l1 && (!this.poisoned || this.solo)) space.local.supersede(this.kind, this)
    }
    this.#resolve(value)
    if (status === 'miss' && this.refreshOf === undefined) this.kind.space.reads.missed(this)
  }

  fail(cause: unknown): void {
    if (this.status) return
    this.status = 'miss'
    if (this.refreshOf === undefined) this.kind.counts.read('miss', 'source', this.callers)
    this.#reject(cause)
  }

  end(): void {
    if (!this.kind.flights.remove(this)) this.kind.companions.remove(this)
    this.within?.awaits.delete(this)
    this.promise = undefined
    this.#resolve = this.#reject = nobody
    this.#onEnd?.()
  }
}

const headerOf = (bytes: Buffer): Buffer => bytes.subarray(0, headerLength)
const nobody = () => {}
