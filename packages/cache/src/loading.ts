import { adaptedMs, holds } from './adaptive.ts'
import { compressPayload, decodePayload, encodePayload, freezeIfPlain, Sealed } from './codec.ts'
import { decodeEntry, encodeEntry, type Ages, type Entry, type Payload } from './entry.ts'
import type { Flight } from './flight.ts'
import type { Frame } from './frames.ts'
import type { FillJob, FillResult, LeaseJob, LeaseOutcome } from './jobs.ts'
import type { Load } from './loads.ts'
import { shortened } from './policy.ts'

const mostTries = 4

/**
 * What a flight does when L2 has nothing that may be served:
 *
 *     take the lease ── held by another ── wait, read again, or go on alone
 *        │ won
 *     load ── the value lands ── fill L2 ── stored ── keep in L1
 */
export class Loading implements LeaseJob, FillJob, Load {
  readonly flight: Flight
  readonly entry: string
  readonly lease: string
  token = ''
  seen: Buffer | string = ''
  // Of the fill.
  tagKeys: readonly string[] = []
  epoch = ''
  sequence = ''
  ttlMs = 0
  value: Buffer | string = ''
  // Of the load.
  within: Frame | undefined
  behind: Load | undefined
  endsAtMs = 0
  nextBeatMs = 0
  #startedMs = 0
  #status: 'miss' | 'bypass' = 'miss'
  #tries = 0
  #isAlone = false
  #softTimer: NodeJS.Timeout | undefined
  #waitTimer: NodeJS.Timeout | undefined
  /** What is being stored. */
  #filling:
    | { value: unknown; isPlain: boolean; ages: Ages; tags: readonly string[]; size: number }
    | undefined

  constructor(flight: Flight) {
    this.flight = flight
    this.entry = flight.entry
    this.lease = flight.kind.leaseKey(flight.encoded, flight.shard)
  }

  get kind(): string {
    return this.flight.kind.name
  }

  get timeoutMs(): number {
    return this.flight.kind.policy.hardTimeoutMs
  }

  /** `seen`: header of the entry that may not be served, or nothing. */
  take(seen: Buffer | string): void {
    if (this.#tries++ >= mostTries) return this.alone('miss')
    const { kind, shard } = this.flight
    this.seen = seen
    this.token = kind.space.nextToken()
    kind.remoteOf(shard).lease(this)
  }

  leased(outcome: LeaseOutcome, epoch: string, sequence: string): void {
    const { flight } = this
    this.seen = ''
    if (outcome === 'failed') flight.unheard = true
    switch (outcome) {
      case 'won':
        this.epoch = epoch
        this.sequence = sequence
        if (epoch !== flight.shard.epoch) flight.shard.look()
        return this.#load('miss')
      case 'newer':
        return flight.read()
      case 'failed':
      case 'writing':
        return this.alone('miss')
      case 'lost':
        if (flight.refreshOf !== undefined) return flight.nothing()
        flight.landStale()
        return flight.status ? flight.end() : this.#wait()
    }
  }

  /** For the holder of the lease. It tells when it is done; it is asked for now and then, in case it dies. */
  #wait(): void {
    const { kind, startedMs, within } = this.flight
    const { space } = kind
    if (space.now() - startedMs > kind.policy.hardTimeoutMs) return this.alone('miss')
    // After an invalidation the holder may be this process, with a flight that nobody can join.
    this.behind = space.loads.holderOf(this.entry)
    if (within && !space.loads.awaitedIn(within, this.flight)) return this.alone('miss')
    // Waiting is no failure to agree.
    this.#tries = 0
    kind.counts.leaseWaits++
    space.waiting.add(this.entry, this)
    this.#waitTimer = setTimeout(() => this.wake('filled'), 150 + 150 * space.random())
  }

  /** Another process is done with the key, or gave it up. */
  wake(how: 'filled' | 'failed'): void {
    if (!this.#waitTimer) return
    clearTimeout(this.#waitTimer)
    this.#waitTimer = this.behind = undefined
    this.flight.kind.space.waiting.remove(this.entry, this)
    if (how === 'failed') this.alone('miss')
    else this.flight.read()
  }

  /** Loads without a lease, and stores nothing. */
  alone(status: 'miss' | 'bypass'): void {
    this.#isAlone = true
    this.behind = undefined
    this.#load(status)
  }

  #load(status: 'miss' | 'bypass'): void {
    const { flight } = this
    const { policy, space } = flight.kind
    if (flight.stale) {
      this.#softTimer = setTimeout(() => flight.landStale(), policy.softTimeoutMs)
    }
    this.#status = status
    this.#startedMs = space.now()
    this.within = flight.within
    space.loads.run(this)
  }

  load(): unknown {
    return this.flight.request.load?.()
  }

  beat(): void {
    const { kind, shard } = this.flight
    if (!this.#isAlone) kind.remoteOf(shard).renew(this.lease, this.token)
  }

  failed(cause: unknown): void {
    const { flight } = this
    flight.kind.loaded(flight.kind.space.now() - this.#startedMs, true)
    clearTimeout(this.#softTimer)
    this.#release()
    flight.landStale()
    flight.fail(cause)
    flight.end()
  }

  loaded(value: unknown): void {
    const { flight } = this
    const { kind } = flight
    const { policy, space } = kind
    kind.loaded(space.now() - this.#startedMs, false)
    clearTimeout(this.#softTimer)
    const isAbsent = value === undefined
    let isPlain: boolean
    let payload: Payload
    try {
      isPlain = isAbsent || freezeIfPlain(value)
      payload = encodePayload(value, isPlain)
    } catch (cause) {
      kind.uncacheable(cause)
      flight.land(value, this.#status, 'source', 0, 0, undefined)
      this.#release()
      return flight.end()
    }
    const baseMs = isAbsent ? policy.absentMs : (flight.request.softMs ?? this.#lifetimeOf(payload))
    const isStored = !this.#isAlone && this.epoch !== '' && baseMs > 0
    const softMs = shortened(baseMs, space.random)
    const copy = isPlain ? undefined : copier(payload)
    flight.land(copy ? copy() : value, this.#status, 'source', 0, isStored ? softMs : 0, copy)
    if (!isStored) {
      this.#release()
      return flight.end()
    }
    const ages = {
      storedAtMs: Math.floor(flight.shard.clock.nowMs()),
      softMs,
      hardMs: softMs + (isAbsent ? 0 : policy.graceMs),
    }
    if (payload.bytes.length <= policy.compressAbove) {
      return this.#fill(value, isPlain, payload, ages, payload)
    }
    compressPayload(payload, policy.compressAbove).then(
      (packed) => this.#fill(value, isPlain, payload, ages, packed),
      () => this.#fill(value, isPlain, payload, ages, payload),
    )
  }

  #lifetimeOf(payload: Payload): number {
    const { kind, previous } = this.flight
    const { softMs, adaptive } = kind.policy
    if (!adaptive || !previous || previous.codec === '-') return softMs
    try {
      return adaptedMs(previous.softMs, holds(previous, payload), adaptive)
    } catch {
      // What was there cannot be read.
      return softMs
    }
  }

  #fill(value: unknown, isPlain: boolean, payload: Payload, ages: Ages, packed: Payload): void {
    const { flight } = this
    const { kind, shard } = flight
    const { tags: named } = flight.request
    let tags: readonly string[]
    try {
      const computed = kind.valueTagsOf(value)
      tags = computed.length === 0 ? named : [...new Set([...named, ...computed])]
      this.value = encodeEntry(this.epoch, this.sequence, ages, tags, packed)
    } catch (cause) {
      kind.uncacheable(cause)
      this.#release()
      return flight.end()
    }
    kind.weight.saw(this.value.length)
    this.ttlMs = ages.hardMs
    this.tagKeys = kind.tagKeys(tags, shard)
    // L1 keeps a plain value as the object that it is, and not as it was packed.
    const saved = isPlain ? payload.bytes.length - packed.bytes.length : 0
    this.#filling = { value, isPlain, ages, tags, size: this.value.length + saved }
    kind.remoteOf(shard).store(this)
  }

  filled(result: FillResult): void {
    const { flight, value: bytes } = this
    const { kind, shard } = flight
    const filling = this.#filling
    this.#filling = undefined
    this.value = ''
    flight.stored = result === 'stored'
    if (result === 'unavailable') flight.unheard = true
    if (result !== 'stored') kind.counts.rejected(result)
    else if (filling && kind.policy.l1 && this.epoch === shard.epoch) {
      const { value, isPlain, ages, tags, size } = filling
      kind.space.local.keep(flight, isPlain ? value : sealed(bytes), ages, size, tags)
    }
    flight.end()
  }

  #release(): void {
    if (this.#isAlone || this.epoch === '') return
    const { kind, shard } = this.flight
    kind.remoteOf(shard).release(this.entry, this.lease, this.token)
  }
}

const sealed = (bytes: Buffer | string) => {
  const entry = decodeEntry(Buffer.from(bytes))
  return entry && new Sealed(entry)
}

/** Each reader's own copy of a value that has not been stored. */
function copier({ codec, bytes }: Payload): () => unknown {
  const entry = { codec, bytes: Buffer.from(bytes), payloadAt: 0 } as Entry
  return () => decodePayload(entry)
}
