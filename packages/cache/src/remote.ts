import {
  defineChannelScript,
  type Argument,
  type Channel,
  type Issued,
  type RedisConnection,
  type Shard,
} from '@wattle/redis'
import { createAsking } from './asking.ts'
import { createBatch } from './batch.ts'
import type { FillJob, FillResult, LeaseJob } from './jobs.ts'
import { createReading, readDeadlineMs } from './reading.ts'
import type { Statistics } from './statistics.ts'
import { Weight } from './weight.ts'
import { createWindow } from './window.ts'

const leaseScript = defineChannelScript(new URL('./lua/lease.lua', import.meta.url))
const fillScript = defineChannelScript(new URL('./lua/fill.lua', import.meta.url))
const renewScript = defineChannelScript(new URL('./lua/renew.lua', import.meta.url))
const releaseScript = defineChannelScript(new URL('./lua/release.lua', import.meta.url))

const leaseMs = 1_500
/** What is held for longer is renewed this often, so that a lease of who was killed is soon gone. */
export const renewEveryMs = 500
/**
 * Longest wait for a read, and for a lease after it, which together fit into 150 ms. They are equal, so that a Redis too
 * slow for one is too slow for both, and the circuit opens; it closes at a heartbeat that leaves some room below.
 */
const leaseDeadlineMs = readDeadlineMs
export const closeWithinMs = 60
/** Nobody waits for a fill; it ends with the client's own timeout. */
const fillDeadlineMs = 1_000
/** Longest wait for a turn on a Redis that answers. */
const patienceMs = 5_000
/** Announcements of values under way. */
const mostPuts = 4

/**
 * L2 of one shard: what is asked for in one turn is asked in one command, or in several of which no more are under way than
 * Redis answers in time. Nothing here throws because of Redis.
 */
export function createRemote({
  redis,
  channel,
  shard,
  generationsKey,
  statistics,
  now,
}: {
  redis: RedisConnection
  channel: Channel
  shard: Shard
  generationsKey: string
  statistics: Statistics
  now: () => number
}) {
  const sequenceKey = channel.sequenceKeyOf(shard)
  const bounds = { now, patienceMs, shards: channel.shards.length }
  const asking = createAsking({ shard, statistics, now })
  const { ask, windows } = asking
  const reading = createReading({ redis, shard, generationsKey, asking, bounds })

  const leases = createWindow<LeaseJob>({
    ...bounds,
    keysOf: () => 2,
    bytesOf: () => smallBytes,
    refuse: (job) => job.leased('failed', '', ''),
    mayAsk: () => shard.available,
    send(jobs, weight) {
      const args: Argument[] = [leaseMs, '']
      for (const { token } of jobs) args.push(token)
      if (jobs.some(({ seen }) => seen !== '')) for (const { seen } of jobs) args.push(seen)
      const sent = redis.run(leaseScript, { keys: [sequenceKey, ...namesOf(jobs)], args })
      const leased = (reply: (string | number)[] | undefined) => {
        if (!reply) {
          for (const job of jobs) job.leased('failed', '', '')
          return
        }
        const [epoch, sequence] = [String(reply[0]), String(reply[1])]
        for (const [at, job] of jobs.entries()) {
          job.leased(leaseOutcomes[reply[at + 2] as number] ?? 'failed', epoch, sequence)
        }
      }
      ask(operations.lease, sent as Promise<(string | number)[]>, leased, leases, weight)
    },
  })

  const fills = createWindow<FillJob>({
    ...bounds,
    keysOf: (job) => 2 + job.tagKeys.length,
    bytesOf: (job) => Buffer.byteLength(job.value),
    refuse: (job) => job.filled('unavailable'),
    mayAsk: () => shard.available,
    send(jobs, weight) {
      // All of one batch have one epoch, but for the moment of a failover.
      const epoch = jobs[0]?.epoch ?? ''
      const mine = jobs.every((job) => job.epoch === epoch)
        ? jobs
        : jobs.filter((job) => job.epoch === epoch)
      for (const job of jobs) if (job.epoch !== epoch) job.filled('epoch')
      const keys = [generationsKey, ...namesOf(mine)]
      for (const { tagKeys } of mine) for (const tag of tagKeys) keys.push(tag)
      const args: Argument[] = [epoch, channel.name, shard.index, mine.length]
      for (const { token } of mine) args.push(token)
      for (const { kind } of mine) args.push(kind)
      for (const { ttlMs } of mine) args.push(ttlMs)
      for (const { tagKeys } of mine) args.push(tagKeys.length)
      for (const { value } of mine) args.push(value)
      const filled = (reply: number[] | undefined) => {
        for (const [at, job] of mine.entries())
          job.filled(fillResults.get(reply?.[at]) ?? 'unavailable')
      }
      const sent = redis.run(fillScript, { keys, args }) as Promise<number[]>
      ask(operations.fill, sent, filled, fills, weight)
    },
  })

  /** Refused, it is announced all the same, and so deferred. */
  const puts = createWindow<PutJob>({
    now,
    shards: bounds.shards,
    most: mostPuts,
    mostTogether: 1,
    keysOf: () => 1,
    bytesOf: (job) => job.bytes,
    refuse: (job) => void job.run(undefined),
    mayAsk: () => shard.available,
    send: (jobs, weight) => void jobs[0]?.run(weight),
  })

  windows.push(leases, fills)

  /** Thousands may wait for their loads, whose leases are renewed all at once. */
  const renew = createBatch<{ lease: string; token: string }>(128, (jobs) => {
    const keys = jobs.map(({ lease }) => lease)
    const args = [leaseMs, ...jobs.map(({ token }) => token)]
    redis.run(renewScript, { keys, args }).catch(() => {})
  })

  /** What waits to be stored must not lose its lease. */
  let keeper: NodeJS.Timeout | undefined
  function keepLeases(): void {
    const waiting = fills.waiting()
    for (const job of waiting) renew(job)
    if (waiting.length > 0) return
    clearInterval(keeper)
    keeper = undefined
  }
  const store = createBatch<FillJob>(Infinity, (jobs) => {
    fills.add(jobs)
    if (!keeper && fills.waiting().length > 0) {
      keeper = setInterval(keepLeases, renewEveryMs).unref()
      keepLeases()
    }
  })

  /** What is looked at one by one. */
  const lookedAt = { weight: new Weight() }

  return {
    ...reading,
    lease: createBatch<LeaseJob>(Infinity, leases.add),
    store,
    /** Announces values of so many bytes, when few others are under way; when Redis is away, at once. */
    put(bytes: number, announce: () => Promise<Issued>): Promise<Issued> {
      return new Promise((resolve, reject) => {
        const run = async (weight: number | undefined) => {
          let how: 'answered' | 'failed' = 'failed'
          try {
            const issued = await announce()
            if (issued.outcome === 'applied') how = 'answered'
            resolve(issued)
          } catch (cause) {
            reject(cause)
          } finally {
            if (weight !== undefined) puts.ended(weight, how)
            puts.next()
          }
        }
        puts.add([{ bytes, run }])
      })
    },
    /** Takes the lease from whoever has it, for a value that is about to be written to the source. Where that stands. */
    async takeLease(
      entry: string,
      leaseKey: string,
      token: string,
    ): Promise<readonly [epoch: string, sequence: string] | undefined> {
      const call = { keys: [sequenceKey, entry, leaseKey], args: [leaseMs, '1', token] }
      const sent = redis.run(leaseScript, call) as Promise<[epoch: string, sequence: string]>
      return new Promise((done) => ask(operations.lease, sent, done))
    },
    renew(lease: string, token: string): void {
      renew({ lease, token })
    },
    /** What lies under the name of an entry; undefined when Redis could not be asked. */
    look: (entry: string) =>
      new Promise<Buffer | null | undefined>((resolve) => {
        reading.read({
          kind: lookedAt,
          entry,
          tagKeys: [],
          answered: resolve,
          unanswered: () => resolve(undefined),
        })
      }),
    release(entry: string, leaseKey: string, token: string): void {
      const args = [token, channel.name, shard.index, entry]
      redis.run(releaseScript, { keys: [leaseKey], args }).catch(() => {})
    },
    generationsKey,
  }
}

export type Remote = ReturnType<typeof createRemote>

/** The entries of all, and then the leases of all. */
function namesOf(jobs: readonly { entry: string; lease: string }[]): string[] {
  const names: string[] = []
  for (const { entry } of jobs) names.push(entry)
  for (const { lease } of jobs) names.push(lease)
  return names
}

type PutJob = { readonly bytes: number; run(weight: number | undefined): Promise<void> }

const operations = {
  lease: { name: 'lease', deadlineMs: leaseDeadlineMs },
  fill: { name: 'fill', deadlineMs: fillDeadlineMs },
} as const
/** What a lease takes on the wire. */
const smallBytes = 256
/** As lease.lua tells them. */
const leaseOutcomes = ['lost', 'won', 'writing', 'newer'] as const
const fillResults = new Map<number | undefined, FillResult>([
  [1, 'stored'],
  [0, 'lease'],
  [-1, 'epoch'],
  [-2, 'invalidated'],
])
