import { isDeepStrictEqual } from 'node:util'
import { reportOf, type AuditReport, type Finding } from './audit-report.ts'
import type { Cache } from './cache.ts'
import { decodePayload, encodePayload, freezeIfPlain } from './codec.ts'
import { createDuty } from './duty.ts'
import type { Entry } from './entry.ts'
import { inspect, type Seen } from './inspect.ts'
import { internalsOf } from './internals.ts'
import { counterIn, gaugeIn } from './metrics.ts'
import { longestTimerMs, numberAboveZero, wholeNumber } from './number-option.ts'
import type { ReadSample } from './reads.ts'
import { pendingFirst } from './write-behind/pending-first.ts'

export type AuditOptions = {
  cache: Cache
  /** Names of the kinds to look at. Default all. */
  kinds?: readonly string[]
  /** Entries compared in a second, at most; each costs one load. Default 1. */
  rate?: number
  /** How long a difference may be an invalidation on its way. Default 2,000. */
  settleMs?: number
  /** Between two rounds. Default 10,000. */
  everyMs?: number
  /** One read in this many is a candidate. Default 512. */
  sampleEvery?: number
  /** For values that are not made twice in the same way, by kind: whether the cached one is right. */
  equal?: Readonly<Record<string, (cached: unknown, source: unknown) => boolean>>
  /** Resolves after so many milliseconds. */
  wait?: (ms: number) => Promise<void>
}

export type Audit = {
  start(): void
  /** Resolves when the round under way has ended. */
  stop(): Promise<void>
  /** One round now. Undefined when another process of the fleet has the duty, or this one cannot trust its cache. */
  run(): Promise<AuditReport | undefined>
  report(): AuditReport
}

type Look = { readonly seen: readonly Seen[]; readonly source: unknown }
type Suspect = { readonly sample: ReadSample; readonly look: Look }

const mostWindows = 3
const mostFindings = 100

/**
 * Compares cached entries with the source of truth, as a doubter would: entries that are read, picked at random, in
 * both tiers.
 *
 * An entry that differs is no finding yet, for the write's invalidation may be on its way. It is looked at again after
 * the settling window. It is a finding when the very same entry is still there (its header holds the sequence at which
 * it was loaded, so an invalidation and a new load show) while the source says twice the same, which is something
 * else than the entry. When the source changed in between, the window begins anew, three times at most. A finding is
 * repaired by invalidating the entry everywhere.
 *
 * The duty goes to another process with every round, so that the L1 of each gets its turn.
 */
export function auditCache(options: AuditOptions): Audit {
  const { cache, rate = 1, settleMs = 2_000, everyMs = 10_000, sampleEvery = 512 } = options
  const { wait = waitMs, equal = {} } = options
  const { space, registry, cores } = internalsOf(cache)
  numberAboveZero('rate of the audit', rate)
  wholeNumber('settleMs of the audit', settleMs, 0, longestTimerMs)
  wholeNumber('everyMs of the audit', everyMs, 1, longestTimerMs)
  wholeNumber('sampleEvery of the audit', sampleEvery, 1, 2 ** 30)
  if (options.kinds !== undefined && !Array.isArray(options.kinds)) {
    throw new TypeError('kinds of the audit is no list: give the names of kinds in one')
  }
  const kinds = options.kinds && new Set(options.kinds)
  const duty = createDuty(space, 'audit', settleMs * 2 + 10_000)
  const mostWaiting = Math.max(1, Math.ceil((rate * everyMs) / 1_000))
  const waiting = new Map<string, ReadSample>()
  const counts = { consistent: 0, inconsistent: 0, undecided: 0 }
  const findings: Finding[] = []

  const watcher = {
    every: sampleEvery,
    read(sample: ReadSample) {
      const { kind, key } = sample
      if (kinds && !kinds.has(kind.name)) return
      const name = kind.names.redisKey(kind.names.encode(key))
      if (waiting.size < mostWaiting || waiting.has(name)) waiting.set(name, sample)
    },
  }
  let stopWatching: (() => void) | undefined = space.reads.watch(watcher)

  const trusts = () => cache.enabled && cache.synchronized && space.channel.shards.every(isSettled)

  function load({ kind, key, load: source }: ReadSample): Promise<unknown> {
    const read = pendingFirst(kind, kind.names.encode(key), source)
    return new Promise((loaded, failed) => {
      const { name, policy } = kind
      const asked = { kind: name, timeoutMs: policy.hardTimeoutMs, load: read, loaded, failed }
      space.loads.run({ ...asked, endsAtMs: 0, nextBeatMs: 0 })
    })
  }

  async function look(sample: ReadSample): Promise<Look> {
    const seen = await inspect(sample.kind, sample.key)
    return { seen, source: seen.length === 0 ? undefined : storable(await load(sample)) }
  }

  const differing = ({ kind }: ReadSample, { seen, source }: Look) =>
    seen.filter(({ value }) => !(equal[kind.name] ?? isDeepStrictEqual)(value, source))

  /** A look at one entry; a suspect when it differs. Throws when the source does. */
  async function first(sample: ReadSample): Promise<Suspect | undefined> {
    const found = await look(sample)
    if (found.seen.length === 0) return undefined
    if (differing(sample, found).length > 0) return { sample, look: found }
    count('consistent')
    return undefined
  }

  /** Another look, a settling window later: the suspect as it is now when that was not enough. */
  async function again({ sample, look: then }: Suspect): Promise<Suspect | undefined> {
    const now = await look(sample)
    const known = differing(sample, then)
    const [worst] = differing(sample, now).filter(({ tier, identity }) =>
      known.some((one) => one.tier === tier && one.identity === identity),
    )
    if (!worst) {
      count('consistent')
      return undefined
    }
    if (!isDeepStrictEqual(then.source, now.source)) return { sample, look: now }
    await repair(sample, worst)
    return undefined
  }

  async function repair({ kind, key }: ReadSample, { tier }: Seen): Promise<void> {
    const { names } = kind
    const encoded = names.encode(key)
    const atMs = Math.round(kind.shardOf(encoded).clock.nowMs())
    const finding = { kind: kind.name, key: names.redisKey(encoded), tier, atMs }
    count('inconsistent')
    findings.unshift(finding)
    findings.length = Math.min(findings.length, mostFindings)
    space.log.error(finding, 'a cached entry differs from its source: it was invalidated')
    await cache.invalidate([{ entry: encoded, kind: names }])
  }

  /** What `judge` leaves of them; those on which the source fails are undecided. */
  async function each<T>(items: readonly T[], judge: (item: T) => Promise<Suspect | undefined>) {
    const left: Suspect[] = []
    for (const [at, item] of items.entries()) {
      if (at > 0) await wait(1_000 / rate)
      if (!trusts() || !(await duty.take())) break
      try {
        const suspect = await judge(item)
        if (suspect) left.push(suspect)
      } catch {
        count('undecided')
      }
    }
    return left
  }

  /** Kinds may be defined after the audit was made, but not after it has begun. */
  function missKinds(): void {
    const known = new Set([...cores.values()].map(({ name }) => name))
    for (const name of kinds ?? []) {
      if (known.has(name)) continue
      space.log.warn(
        { kind: name },
        `the audit is to look at ${name}, which this cache does not have: there are ${[...known].join(', ')}`,
      )
    }
  }

  let hasBegun = false
  async function round(): Promise<AuditReport | undefined> {
    if (!hasBegun) missKinds()
    hasBegun = true
    if (!trusts() || !(await duty.take())) return undefined
    const samples = [...waiting.values()]
    waiting.clear()
    let suspects = await each(samples, first)
    for (let window = 0; window < mostWindows && suspects.length > 0; window++) {
      await wait(settleMs)
      suspects = await each(suspects, again)
    }
    for (const _ of suspects) count('undecided')
    await duty.leave()
    return reportOf(counts, findings)
  }

  let running: Promise<AuditReport | undefined> | undefined
  const run = () => (running ??= round().finally(() => (running = undefined)))
  let timer: NodeJS.Timeout | undefined
  const schedule = () => {
    const begin = () => void run().then(() => timer && schedule())
    timer = setTimeout(begin, everyMs * (0.75 + space.random() / 2)).unref()
  }

  const labels = { service: space.keys.service, namespace: space.keys.service }
  const ratio = gaugeIn(registry, {
    name: 'wattle_cache_consistency_ratio',
    help: 'Share of the audited entries that agreed with their source',
    labelNames: ['service', 'namespace'],
  })
  const audited = counterIn(registry, {
    name: 'wattle_cache_audited_total',
    help: 'Entries that were compared with their source',
    labelNames: ['service', 'namespace', 'result'],
  })
  function count(result: keyof typeof counts): void {
    counts[result]++
    audited.inc({ ...labels, result })
    ratio.set(labels, reportOf(counts, []).ratio)
  }

  return {
    start() {
      stopWatching ??= space.reads.watch(watcher)
      if (!timer) schedule()
    },
    async stop() {
      clearTimeout(timer)
      timer = undefined
      stopWatching?.()
      stopWatching = undefined
      await running
    },
    run,
    report: () => reportOf(counts, findings),
  }
}

const isSettled = ({ available, settled }: { available: boolean; settled: boolean }) =>
  available && settled

/** The value as the cache would give it back. */
function storable(value: unknown): unknown {
  const payload = encodePayload(value, value === undefined || freezeIfPlain(value))
  return decodePayload({
    codec: payload.codec,
    bytes: Buffer.from(payload.bytes),
    payloadAt: 0,
  } as Entry)
}

const waitMs = (ms: number) =>
  new Promise<void>((done) => {
    setTimeout(done, ms).unref()
  })
