import {
  defineChannelScript,
  isRefusal,
  type Argument,
  type Channel,
  type RedisConnection,
  type Shard,
} from '@wattle/redis'
import { createBatch } from './batch.ts'
import { createDeadlines } from './deadlines.ts'
import { createGenerationsReader, type Generations } from './generations.ts'
import type { Statistics } from './statistics.ts'

const readScript = defineChannelScript(new URL('./lua/read.lua', import.meta.url))
const leaseScript = defineChannelScript(new URL('./lua/lease.lua', import.meta.url))
const fillScript = defineChannelScript(new URL('./lua/fill.lua', import.meta.url))
const renewScript = defineChannelScript(new URL('./lua/renew.lua', import.meta.url))
const releaseScript = defineChannelScript(new URL('./lua/release.lua', import.meta.url))

/** A read of one entry and some tags. */
export interface ReadJob {
  readonly entry: string
  readonly tagKeys: readonly string[]
  /** `epoch`: of the server, where it was asked for. */
  answered(
    bytes: Buffer | null,
    tags: readonly (Buffer | null)[],
    generations: Generations,
    epoch: string | undefined,
  ): void
  /** Redis could not be asked. */
  unanswered(): void
}

export interface LeaseJob {
  readonly entry: string
  readonly lease: string
  readonly token: string
  /** The beginning of the entry that was seen, or nothing. */
  readonly seen: Buffer | string
  /** Epoch and sequence are those at the lease. */
  leased(outcome: LeaseOutcome, epoch: string, sequence: string): void
}
/**
 * `lost`: another load is under way. `writing`: somebody is writing the value to the source. `newer`: there is another
 * entry than the one seen.
 */
export type LeaseOutcome = 'won' | 'lost' | 'writing' | 'newer' | 'failed'

export interface FillJob {
  readonly entry: string
  readonly lease: string
  readonly tagKeys: readonly string[]
  readonly token: string
  readonly kind: string
  readonly epoch: string
  readonly ttlMs: number
  /** Its header has the sequence at the lease. */
  readonly value: Buffer | string
  filled(result: FillResult): void
}
export type FillResult = 'stored' | 'lease' | 'epoch' | 'invalidated' | 'unavailable'

/** As many keys as one MGET answers without holding up others. */
const mostInOne = 128
const leaseMs = 1_500
/**
 * Longest wait for a read, and for a lease after it, which together fit into 150 ms. They are equal, so that a Redis too
 * slow for one is too slow for both, and the circuit opens; it closes at a heartbeat that leaves some room below.
 */
const readDeadlineMs = 70
const leaseDeadlineMs = readDeadlineMs
export const closeWithinMs = 60

/**
 * L2 of one shard: what is asked for in one turn is asked in one command. Nothing here throws because of Redis.
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
  const generationsOf = createGenerationsReader()
  const deadlines = createDeadlines()
  const { circuit } = shard
  const sequenceKey = channel.sequenceKeyOf(shard)

  /** Calls `answered` with the reply, or with undefined after `deadlineMs`, or when it failed. */
  function ask<T>(
    operation: string,
    deadlineMs: number,
    sent: Promise<T>,
    answered: (reply: T | undefined) => void,
  ): void {
    const startedMs = now()
    const waiter = {
      endsAtMs: performance.now() + deadlineMs,
      place: -1,
      late() {
        circuit.failed(new Error(`no answer to ${operation} within ${deadlineMs} ms`))
        answered(undefined)
      },
    }
    deadlines.add(waiter)
    sent.then(
      (reply) => {
        if (!deadlines.done(waiter)) return
        circuit.succeeded()
        statistics.operation(operation, now() - startedMs)
        answered(reply)
      },
      (cause: unknown) => {
        if (!deadlines.done(waiter)) return
        // It answered, but does not want to: memory is full, or it has lost its replicas.
        if (!isRefusal(cause)) circuit.failed(cause)
        answered(undefined)
      },
    )
  }

  function keysOf(jobs: readonly ReadJob[]): string[] {
    const keys = [generationsKey]
    for (const { entry, tagKeys } of jobs) {
      keys.push(entry)
      for (const tag of tagKeys) keys.push(tag)
    }
    return keys
  }

  function deliver(
    jobs: readonly ReadJob[],
    values: readonly (Buffer | null)[] | undefined,
    epoch?: string,
  ): void {
    if (!values) {
      for (const job of jobs) job.unanswered()
      return
    }
    const generations = generationsOf(values[0])
    let at = 1
    for (const job of jobs) {
      const bytes = values[at++] ?? null
      const count = job.tagKeys.length
      const tags = count === 0 ? noTags : values.slice(at, at + count)
      at += count
      job.answered(bytes, tags, generations, epoch)
    }
  }

  const read = createBatch<ReadJob>(mostInOne, (jobs) => {
    const sent = redis.callBuffer('mget', keysOf(jobs))
    ask('read', readDeadlineMs, sent as Promise<(Buffer | null)[]>, (values) =>
      deliver(jobs, values),
    )
  })

  const readStrictly = createBatch<ReadJob>(mostInOne, (jobs) => {
    const sent = redis.run(readScript, { keys: keysOf(jobs), buffers: true })
    ask('read-strict', readDeadlineMs, sent as Promise<[Buffer, (Buffer | null)[]]>, (reply) =>
      deliver(jobs, reply?.[1], reply?.[0].toString('latin1')),
    )
  })

  const lease = createBatch<LeaseJob>(mostInOne, (jobs) => {
    const args: Argument[] = [leaseMs, '']
    for (const { token } of jobs) args.push(token)
    if (jobs.some(({ seen }) => seen !== '')) for (const { seen } of jobs) args.push(seen)
    const sent = redis.run(leaseScript, { keys: [sequenceKey, ...namesOf(jobs)], args })
    ask('lease', leaseDeadlineMs, sent as Promise<(string | number)[]>, (reply) => {
      if (!reply) {
        for (const job of jobs) job.leased('failed', '', '')
        return
      }
      const [epoch, sequence] = [String(reply[0]), String(reply[1])]
      for (const [at, job] of jobs.entries()) {
        job.leased(leaseOutcomes[reply[at + 2] as number] ?? 'failed', epoch, sequence)
      }
    })
  })

  const fill = createBatch<FillJob>(mostInOne, (jobs) => {
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
    ask(
      'fill',
      fillDeadlineMs,
      redis.run(fillScript, { keys, args }) as Promise<number[]>,
      (reply) => {
        for (const [at, job] of mine.entries())
          job.filled(fillResults.get(reply?.[at]) ?? 'unavailable')
      },
    )
  })

  return {
    read,
    readStrictly,
    lease,
    store: fill,
    /** Takes the lease from whoever has it, for a value that is about to be written to the source. Where that stands. */
    async takeLease(
      entry: string,
      leaseKey: string,
      token: string,
    ): Promise<readonly [epoch: string, sequence: string] | undefined> {
      const call = { keys: [sequenceKey, entry, leaseKey], args: [leaseMs, '1', token] }
      const sent = redis.run(leaseScript, call) as Promise<[epoch: string, sequence: string]>
      return new Promise((done) => ask('lease', leaseDeadlineMs, sent, done))
    },
    renew(leaseKey: string, token: string): void {
      redis.run(renewScript, { keys: [leaseKey], args: [token, leaseMs] }).catch(() => {})
    },
    /** What lies under the name of an entry; undefined when Redis could not be asked. */
    look: (entry: string) =>
      new Promise<Buffer | null | undefined>((resolve) => {
        read({ entry, tagKeys: [], answered: resolve, unanswered: () => resolve(undefined) })
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

/** Nobody waits for a fill; it ends with the client's own timeout. */
const fillDeadlineMs = 1_000
/** As lease.lua tells them. */
const leaseOutcomes = ['lost', 'won', 'writing', 'newer'] as const
const noTags: readonly (Buffer | null)[] = []
const fillResults = new Map<number | undefined, FillResult>([
  [1, 'stored'],
  [0, 'lease'],
  [-1, 'epoch'],
  [-2, 'invalidated'],
])
