import type { Shard } from '@wattle/redis'
import { adaptedMs, holds } from './adaptive.ts'
import { compressPayload, decodePayload, encodePayload, freezeIfPlain, Sealed } from './codec.ts'
import {
  decodeEntry,
  encodeEntry,
  headerLength,
  type Ages,
  type Entry,
  type Payload,
} from './entry.ts'
import type { KindCore } from './kind-core.ts'
import { alwaysCheck } from './local.ts'
import type { Landing, ReadStatus } from './outcome.ts'
import type { Found, LeaseResult } from './remote.ts'

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

const mostTries = 4
/** Longer than this without a proof of synchrony, and not even an ordinary kind reads L2. */
export const ordinaryWindowMs = 5_000

/**
 * One read of one key that L1 could not answer. Everybody in this process who asks for the key meanwhile shares it.
 *
 *     read L2 ── hit ─────────────────────────────▶ land
 *        │ miss                                       ▲
 *     take the lease ── held by another ── wait, read again, or go on alone
 *        │ won                                        │
 *     load ── the value lands ── fill L2 ── stored ── keep in L1
 *
 * It lands once; what follows (fill, L1) goes on without the callers. An invalidation of its key poisons it: who waits
 * gets the value, who comes later starts anew, and nothing of it is kept. In L2 the same invalidation removed the lease,
 * without which the fill is refused.
 */
export class Flight {
  readonly kind: KindCore
  /** Among the kind's flights or companions. */
  readonly name: string
  readonly id: string
  readonly encoded: string
  readonly shard: Shard
  readonly request: Request
  readonly startTick: number
  readonly promise: Promise<Landing>
  poisoned = false
  /** For a reader who must not get what others may: nothing of it is kept. */
  solo = false
  callers = 1
  landed: ReadStatus | undefined
  tags: readonly string[]
  readonly startedMs: number
  #resolve!: (landing: Landing) => void
  #reject!: (cause: unknown) => void
  #stale: Entry | undefined
  /** The entry that the load replaces, if nothing invalidated it. */
  #previous: Entry | undefined
  #seen: Buffer | string = ''
  #token = ''
  #leased: { epoch: string; sequence: string } | undefined
  #tries = 0
  #alone = false
  #exactly = false
  #softTimer: NodeJS.Timeout | undefined
  #waitTimer: NodeJS.Timeout | undefined
  /** A refresh in the background: of the entry stored at this time. Nobody waits for its value, and it is not counted as a read. */
  readonly #refreshOf: number | undefined
  readonly #onEnd: (() => void) | undefined
  /** Whether its value went into L2. */
  stored = false

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
    this.tags = request.tags
    this.shard = kind.shardOf(encoded)
    this.startTick = kind.space.local.tick
    this.startedMs = kind.space.now()
    this.#refreshOf = refreshOf
    this.#onEnd = onEnd
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** `exact`: what is read must belong to the history that this process follows, as it always must for a strict kind. */
  start(mode: 'ordinary' | 'exact' | 'bypass'): void {
    const { kind, shard } = this
    this.#exactly = mode === 'exact' || kind.policy.strict
    if (mode === 'bypass' || !kind.space.enabled || !shard.available || !shard.settled) {
      return this.#bypass()
    }
    const nowMs = this.startedMs
    const proven = this.#exactly
      ? nowMs < shard.trustedUntilMs
      : nowMs - shard.lastProofMs <= ordinaryWindowMs
    if (proven) this.#read()
    else this.#bypass()
  }

  /** Another process is done with the key, or gave it up. */
  wake(how: 'filled' | 'failed'): void {
    if (!this.#stopWaiting()) return
    if (how === 'failed') this.#loadAlone('miss')
    else this.#read()
  }

  #read(): void {
    this.#ask(this.tags, (found) => this.#judge(found))
  }

  /** The entry and some tags; where Redis cannot be asked, or may not be believed, it loads instead. */
  #ask(names: readonly string[], answered: (found: Found) => void): void {
    const { kind, shard } = this
    const exactly = this.#exactly
    const remote = kind.remoteOf(shard)
    const entry = kind.entryKey(this.encoded, shard)
    const tags = kind.tagKeys(names, shard)
    const done = (found: Found | undefined) => {
      if (!found) return this.#bypass()
      if (exactly && found.epoch !== shard.epoch) {
        shard.look()
        return this.#bypass()
      }
      answered(found)
    }
    if (exactly) remote.readStrictly({ entry, tags, done })
    else remote.read({ entry, tags, done })
  }

  #judge({ bytes, tags, generations }: Found): void {
    const entry = decodeEntry(bytes)
    this.#seen = bytes ? bytes.subarray(0, headerLength) : ''
    if (
      !entry ||
      entry.sequence < generations.of(this.kind.name) ||
      (this.#exactly && entry.epoch !== this.shard.epoch)
    ) {
      return this.#lease()
    }
    const more = entry.tags.filter((name) => !this.tags.includes(name))
    if (more.length === 0) return this.#judgeTags(entry, tags)
    // Tags that only the entry knows of: ask for them now. They say nothing if Redis was emptied in between.
    const header = this.#seen
    this.#ask(more, (found) => {
      const isSame = found.bytes?.subarray(0, headerLength).equals(Buffer.from(header))
      if (isSame) this.#judgeTags(entry, [...tags, ...found.tags])
      else this.#lease()
    })
  }

  #judgeTags(entry: Entry, tags: readonly (Buffer | null)[]): void {
    let expired = false
    for (const tag of tags) {
      if (!tag) continue
      const [deletion = '0', expiry = '0'] = tag.toString('latin1').split(':')
      if (Number(deletion) > entry.sequence) return this.#lease()
      if (Number(expiry) > entry.sequence) expired = true
    }
    const ageMs = this.#ageOf(entry)
    if (ageMs >= entry.hardMs) return this.#lease()
    if (!expired) this.#previous = entry
    if (expired || ageMs >= entry.softMs) {
      this.#stale = entry
      return this.#lease()
    }
    if (this.#refreshOf !== undefined && entry.storedAtMs <= this.#refreshOf) return this.#lease()
    let value: unknown
    try {
      value = decodePayload(entry)
    } catch {
      return this.#lease()
    }
    const shared = entry.codec === 'j' || entry.codec === 'J' || entry.codec === '-'
    const copy = shared ? undefined : () => decodePayload(entry)
    const keep = this.kind.policy.l1 || this.callers > 1
    if (shared && keep) freezeIfPlain(value)
    this.#land({ value, status: 'hit', tier: 'l2', ageMs, ttlMs: entry.softMs - ageMs, copy })
    if (this.kind.policy.l1)
      this.#keep(shared ? value : new Sealed(entry), entry, entry.bytes.length, entry.tags)
    this.#end()
    if (this.#refreshOf === undefined && ageMs >= entry.softMs * this.kind.policy.refreshShare) {
      this.kind.refresh(this.id, this.encoded, this.request, entry.storedAtMs)
    }
  }

  #lease(): void {
    if (this.request.load === undefined) return this.#nothing()
    if (this.#tries++ >= mostTries) return this.#loadAlone('miss')
    this.#token = this.kind.space.nextToken()
    this.kind.remoteOf(this.shard).lease({
      entry: this.kind.entryKey(this.encoded, this.shard),
      lease: this.kind.leaseKey(this.encoded, this.shard),
      token: this.#token,
      seen: this.#seen,
      done: (result) => this.#onLease(result),
    })
  }

  #onLease(result: LeaseResult): void {
    switch (result.outcome) {
      case 'won':
        this.#leased = { epoch: result.epoch, sequence: result.sequence }
        if (result.epoch !== this.shard.epoch) this.shard.look()
        return this.#load('miss')
      case 'newer':
        return this.#read()
      case 'failed':
      case 'writing':
        return this.#loadAlone('miss')
      case 'lost':
        if (this.#refreshOf !== undefined) return this.#nothing()
        if (this.#stale) {
          this.#landStale(this.#stale)
          return this.#end()
        }
        return this.#wait()
    }
  }

  /** For the holder of the lease. It tells when it is done; it is asked for now and then, in case it dies. */
  #wait(): void {
    const { space } = this.kind
    if (space.now() - this.startedMs > this.kind.policy.hardTimeoutMs)
      return this.#loadAlone('miss')
    // Waiting is no failure to agree.
    this.#tries = 0
    this.kind.counts.leaseWaits++
    space.waiting.add(this.kind.entryKey(this.encoded, this.shard), this)
    this.#waitTimer = setTimeout(() => this.wake('filled'), 150 + 150 * space.random())
  }

  #stopWaiting(): boolean {
    if (!this.#waitTimer) return false
    clearTimeout(this.#waitTimer)
    this.#waitTimer = undefined
    this.kind.space.waiting.remove(this.kind.entryKey(this.encoded, this.shard), this)
    return true
  }

  #bypass(): void {
    this.#loadAlone('bypass')
  }

  #loadAlone(status: 'miss' | 'bypass'): void {
    this.#alone = true
    this.#load(status)
  }

  /** Who only looks gets what is stale, or nothing. */
  #nothing(): void {
    if (this.#stale) this.#landStale(this.#stale)
    this.#land({
      value: undefined,
      status: 'miss',
      tier: 'source',
      ageMs: 0,
      ttlMs: 0,
      copy: undefined,
    })
    this.#end()
  }

  #load(status: 'miss' | 'bypass'): void {
    const { policy, space } = this.kind
    const { load } = this.request
    if (load === undefined) return this.#nothing()
    if (this.#stale) {
      const stale = this.#stale
      this.#softTimer = setTimeout(() => this.#landStale(stale), policy.softTimeoutMs)
    }
    const startedMs = space.now()
    space.loads.run(
      load,
      { kind: this.kind.name, timeoutMs: policy.hardTimeoutMs },
      {
        done: (value) => {
          this.kind.loaded(space.now() - startedMs, false)
          this.#onValue(value, status)
        },
        failed: (cause) => {
          this.kind.loaded(space.now() - startedMs, true)
          this.#onFailure(cause)
        },
        beat: this.#alone
          ? undefined
          : () => this.kind.remoteOf(this.shard).renew(this.#leaseKey(), this.#token),
      },
    )
  }

  #onFailure(cause: unknown): void {
    clearTimeout(this.#softTimer)
    this.#release()
    if (this.#stale) this.#landStale(this.#stale)
    else this.#fail(cause)
    this.#end()
  }

  #onValue(value: unknown, status: 'miss' | 'bypass'): void {
    clearTimeout(this.#softTimer)
    const { policy, space } = this.kind
    const isAbsent = value === undefined
    const isPlain = isAbsent || freezeIfPlain(value)
    let payload: Payload
    try {
      payload = encodePayload(value, isPlain)
    } catch (cause) {
      this.kind.uncacheable(cause)
      this.#land({ value, status, tier: 'source', ageMs: 0, ttlMs: 0, copy: undefined })
      this.#release()
      return this.#end()
    }
    const baseMs = isAbsent ? policy.absentMs : (this.request.softMs ?? this.#lifetimeOf(payload))
    const stored = !this.#alone && this.#leased !== undefined && baseMs > 0
    const softMs = Math.max(1, Math.floor(baseMs * (1 - jitterShare * space.random())))
    const copy = isPlain ? undefined : copier(payload)
    const ttlMs = stored ? softMs : 0
    this.#land({ value, status, tier: 'source', ageMs: 0, ttlMs, copy })
    if (!stored) {
      this.#release()
      return this.#end()
    }
    const ages = {
      storedAtMs: Math.floor(this.shard.clock.nowMs()),
      softMs,
      hardMs: softMs + (isAbsent ? 0 : policy.graceMs),
    }
    if (payload.bytes.length <= policy.compressAbove)
      return this.#fill(value, isPlain, payload, ages)
    compressPayload(payload, policy.compressAbove).then(
      (packed) => this.#fill(value, isPlain, packed, ages),
      () => this.#fill(value, isPlain, payload, ages),
    )
  }

  #lifetimeOf(payload: Payload): number {
    const { softMs, adaptive } = this.kind.policy
    const previous = this.#previous
    if (!adaptive || !previous || previous.codec === '-') return softMs
    return adaptedMs(previous.softMs, holds(previous, payload), adaptive)
  }

  #fill(value: unknown, isPlain: boolean, payload: Payload, ages: Ages): void {
    const { kind, shard } = this
    const leased = this.#leased
    if (!leased) return this.#end()
    let computed: readonly string[]
    try {
      computed = value === undefined ? [] : kind.valueTagsOf(value)
    } catch (cause) {
      kind.uncacheable(cause)
      this.#release()
      return this.#end()
    }
    const tags = computed.length === 0 ? this.tags : [...new Set([...this.tags, ...computed])]
    const bytes = encodeEntry(leased.epoch, leased.sequence, ages, tags, payload)
    kind.remoteOf(shard).store({
      entry: kind.entryKey(this.encoded, shard),
      lease: this.#leaseKey(),
      tags: kind.tagKeys(tags, shard),
      token: this.#token,
      kind: kind.name,
      epoch: leased.epoch,
      sequence: leased.sequence,
      ttlMs: ages.hardMs,
      value: bytes,
      done: (result) => {
        this.stored = result === 'stored'
        if (result !== 'stored') kind.counts.rejected(result)
        else if (kind.policy.l1 && leased.epoch === shard.epoch) {
          this.#keep(isPlain ? value : sealed(bytes), ages, bytes.length, tags)
        }
        this.#end()
      },
    })
  }

  /** In L1, unless it was invalidated meanwhile, or this process may not be up to date. */
  #keep(value: unknown, ages: Ages, bytes: number, tags: readonly string[]): void {
    const { kind, shard } = this
    const { local } = kind.space
    const nowMs = kind.space.now()
    if (!kind.space.enabled || nowMs >= shard.trustedUntilMs || !local.keepable(this, tags)) return
    const ageMs = this.#ageOf(ages)
    const softUntil = nowMs + ages.softMs - ageMs
    const refreshAt = nowMs + ages.softMs * kind.policy.refreshShare - ageMs
    local.insert(
      kind,
      this.id,
      value,
      bytes,
      {
        // What readers may not share is looked at each time.
        checkAt: value instanceof Sealed ? alwaysCheck : Math.min(softUntil, refreshAt),
        softUntil,
        hardUntil: nowMs + ages.hardMs - ageMs,
        loadedAt: ages.storedAtMs,
      },
      this.startTick,
      tags,
      shard,
    )
  }

  #ageOf({ storedAtMs }: Ages): number {
    return Math.max(0, this.shard.clock.nowMs() - storedAtMs)
  }

  #leaseKey(): string {
    return this.kind.leaseKey(this.encoded, this.shard)
  }

  #release(): void {
    if (this.#alone || !this.#leased) return
    const entry = this.kind.entryKey(this.encoded, this.shard)
    this.kind.remoteOf(this.shard).release(entry, this.#leaseKey(), this.#token)
  }

  #landStale(entry: Entry): void {
    if (this.landed) return
    let value: unknown
    try {
      value = decodePayload(entry)
    } catch {
      return
    }
    const shared = freezeIfPlain(value)
    const copy = shared ? undefined : () => decodePayload(entry)
    const ageMs = this.#ageOf(entry)
    this.#land({ value, status: 'stale', tier: 'l2', ageMs, ttlMs: 0, copy })
  }

  #land(landing: Landing): void {
    if (this.landed) return
    this.landed = landing.status
    if (this.#refreshOf === undefined) {
      this.kind.counts.read(landing.status, landing.tier, this.callers)
      if (landing.status === 'miss') this.kind.space.reads.missed(this)
      // Who reads the key after this must not go back behind it.
      const { policy, space } = this.kind
      if (policy.l1 && (!this.poisoned || this.solo)) space.local.supersede(this.kind, this)
    }
    this.#resolve(landing)
  }

  #fail(cause: unknown): void {
    if (this.landed) return
    this.landed = 'miss'
    if (this.#refreshOf === undefined) this.kind.counts.read('miss', 'source', this.callers)
    this.#reject(cause)
  }

  #end(): void {
    const { kind, name } = this
    if (kind.flights.get(name) === this) kind.flights.delete(name)
    else if (kind.companions.get(name) === this) kind.companions.delete(name)
    this.#onEnd?.()
  }
}

const jitterShare = 0.1

const sealed = (bytes: Buffer | string) => {
  const entry = decodeEntry(Buffer.from(bytes))
  return entry && new Sealed(entry)
}

/** Each reader's own copy of a value that has not been stored. */
function copier({ codec, bytes }: Payload): () => unknown {
  const entry = { codec, bytes: Buffer.from(bytes), payloadAt: 0 } as Entry
  return () => decodePayload(entry)
}
