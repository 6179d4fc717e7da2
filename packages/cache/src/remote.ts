import {
  defineChannelScript,
  isRefusal,
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
export type ReadJob = {
  entry: string
  tags: readonly string[]
  /** Undefined when Redis could not be asked. */
  done(found: Found | undefined): void
}
export type Found = {
  bytes: Buffer | null
  tags: readonly (Buffer | null)[]
  generations: Generations
  /** Of the server, where it was asked for. */
  epoch: string | undefined
}

export type LeaseJob = {
  entry: string
  lease: string
  token: string
  /** The beginning of the entry that was seen, or nothing. */
  seen: Buffer | string
  done(result: LeaseResult): void
}
export type LeaseResult =
  | { outcome: 'won'; epoch: string; sequence: string }
  /**
   * `lost`: another load is under way. `writing`: somebody is writing the value to the source. `newer`: there is another
   * entry than the one seen.
   */
  | { outcome: 'lost' | 'writing' | 'newer' | 'failed' }

export type FillJob = {
  entry: string
  lease: string
  tags: readonly string[]
  token: string
  kind: string
  epoch: string
  sequence: string
  ttlMs: number
  value: Buffer | string
  done(result: FillResult): void
}
export type FillResult = 'stored' | 'lease' | 'epoch' | 'invalidated' | 'unavailable'

/** As many keys as one MGET answers without holding up others. */
const mostInOne = 128
const leaseMs = 1_500
/** Longest wait for a read, so that a lease after it still fits into 150 ms. */
const readDeadlineMs = 80
const leaseDeadlineMs = 60

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
    let open = true
    const waiter = {
      endsAtMs: performance.now() + deadlineMs,
      late() {
        open = false
        circuit.failed(new Error(`no answer to ${operation} within ${deadlineMs} ms`))
        answered(undefined)
      },
    }
    deadlines.add(waiter)
    sent.then(
      (reply) => {
        if (!open) return
        deadlines.done(waiter)
        circuit.succeeded()
        statistics.operation(operation, now() - startedMs)
        answered(reply)
      },
      (cause: unknown) => {
        if (!open) return
        deadlines.done(waiter)
        // It answered, but does not want to: memory is full, or it has lost its replicas.
        if (!isRefusal(cause)) circuit.failed(cause)
        answered(undefined)
      },
    )
  }

  function keysOf(jobs: readonly ReadJob[]): string[] {
    const keys = [generationsKey]
    for (const { entry, tags } of jobs) {
      keys.push(entry)
      for (const tag of tags) keys.push(tag)
    }
    return keys
  }

  function deliver(
    jobs: readonly ReadJob[],
    values: readonly (Buffer | null)[] | undefined,
    epoch?: string,
  ): void {
    if (!values) {
      for (const job of jobs) job.done(undefined)
      return
    }
    const generations = generationsOf(values[0])
    let at = 1
    for (const job of jobs) {
      const bytes = values[at++] ?? null
      const tags = job.tags.length === 0 ? noTags : values.slice(at, at + job.tags.length)
      at += job.tags.length
      job.done({ bytes, tags, generations, epoch })
    }
  }

  const read = createBatch<ReadJob>(mostInOne, (jobs) => {
    ask('read', readDeadlineMs, redis.client.mgetBuffer(keysOf(jobs)), (values) =>
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
    const sent = redis.run(leaseScript, {
      keys: [sequenceKey, ...jobs.flatMap((job) => [job.entry, job.lease])],
      args: [leaseMs, '', ...jobs.flatMap((job) => [job.token, job.seen])],
      buffers: true,
    })
    ask('lease', leaseDeadlineMs, sent as Promise<(Buffer | number)[]>, (reply) => {
      if (!reply) {
        for (const job of jobs) job.done({ outcome: 'failed' })
        return
      }
      const [epoch, sequence] = [String(reply[0]), String(reply[1])]
      for (const [at, job] of jobs.entries()) {
        const result = reply[at + 2]
        if (result === 1) job.done({ outcome: 'won', epoch, sequence })
        else job.done({ outcome: result === 0 ? 'lost' : result === 2 ? 'writing' : 'newer' })
      }
    })
  })

  const fill = createBatch<FillJob>(mostInOne, (jobs) => {
    // All of one batch have one epoch, but for the moment of a failover.
    const epoch = jobs[0]?.epoch ?? ''
    const others = jobs.filter((job) => job.epoch !== epoch)
    for (const job of others) job.done('epoch')
    const mine = others.length === 0 ? jobs : jobs.filter((job) => job.epoch === epoch)
    const sent = redis.run(fillScript, {
      keys: [generationsKey, ...mine.flatMap((job) => [job.entry, job.lease, ...job.tags])],
      args: [
        epoch,
        channel.name,
        shard.index,
        ...mine.flatMap((job) => [
          job.token,
          job.kind,
          job.sequence,
          job.ttlMs,
          job.tags.length,
          job.value,
        ]),
      ],
    })
    ask('fill', fillDeadlineMs, sent as Promise<number[]>, (reply) => {
      for (const [at, job] of mine.entries())
        job.done(fillResults.get(reply?.[at]) ?? 'unavailable')
    })
  })

  return {
    read,
    readStrictly,
    lease,
    store: fill,
    /** Takes the lease from whoever has it, for a value that is about to be written to the source. Its epoch. */
    async takeLease(entry: string, leaseKey: string, token: string): Promise<string | undefined> {
      const call = { keys: [sequenceKey, entry, leaseKey], args: [leaseMs, '1', token, ''] }
      const sent = redis.run(leaseScript, call) as Promise<[epoch: string]>
      const reply = await new Promise<[epoch: string] | undefined>((done) => {
        ask('lease', leaseDeadlineMs, sent, done)
      })
      return reply?.[0]
    },
    renew(leaseKey: string, token: string): void {
      redis.run(renewScript, { keys: [leaseKey], args: [token, leaseMs] }).catch(() => {})
    },
    release(entry: string, leaseKey: string, token: string): void {
      const args = [token, channel.name, shard.index, entry]
      redis.run(releaseScript, { keys: [leaseKey], args }).catch(() => {})
    },
    generationsKey,
  }
}

export type Remote = ReturnType<typeof createRemote>

/** Nobody waits for a fill; it ends with the client's own timeout. */
const fillDeadlineMs = 1_000
const noTags: readonly (Buffer | null)[] = []
const fillResults = new Map<number | undefined, FillResult>([
  [1, 'stored'],
  [0, 'lease'],
  [-1, 'epoch'],
  [-2, 'invalidated'],
])
