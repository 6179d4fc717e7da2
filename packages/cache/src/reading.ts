import { defineChannelScript, type RedisConnection, type Shard } from '@wattle/redis'
import type { Asking } from './asking.ts'
import { createBatch } from './batch.ts'
import { createGenerationsReader } from './generations.ts'
import type { ReadJob } from './jobs.ts'
import { createWindow, mostBytesInOne, type WindowBounds } from './window.ts'

const readScript = defineChannelScript(new URL('./lua/read.lua', import.meta.url))

/** See remote.ts. */
export const readDeadlineMs = 70
/** Longer than this without a proof of synchrony, and not even an ordinary kind reads L2. */
export const ordinaryWindowMs = 5_000
/** What an entry counts for of a kind of which none was seen: Redis stops by itself where they are larger. */
const unknownBytes = mostBytesInOne / 128

type Values = readonly (Buffer | null)[]

/** Reads of one shard, in `MGET`s; of strict kinds by a script, which also tells the history. */
export function createReading({
  redis,
  shard,
  generationsKey,
  asking: { ask, windows },
  bounds,
}: {
  redis: RedisConnection
  shard: Shard
  generationsKey: string
  asking: Asking
  bounds: WindowBounds
}) {
  const generationsOf = createGenerationsReader()

  function keysOf(jobs: readonly ReadJob[]): string[] {
    const keys = [generationsKey]
    for (const { entry, tagKeys } of jobs) {
      keys.push(entry)
      for (const tag of tagKeys) keys.push(tag)
    }
    return keys
  }

  /** The reply is of as many jobs as Redis read; how many. */
  function deliver(jobs: readonly ReadJob[], values: Values | undefined, epoch?: string): number {
    if (!values) {
      for (const job of jobs) {
        job.kind.weight.doubt()
        job.unanswered()
      }
      return jobs.length
    }
    const generations = generationsOf(values[0])
    let at = 1
    let done = 0
    for (const job of jobs) {
      const count = job.tagKeys.length
      if (at + count >= values.length) break
      const bytes = values[at++] ?? null
      const tags = count === 0 ? noTags : values.slice(at, at + count)
      at += count
      done++
      if (bytes) job.kind.weight.saw(bytes.length)
      job.answered(bytes, tags, generations, epoch)
    }
    return done
  }

  /** With a bound where it is not known what comes. */
  function run(jobs: readonly ReadJob[]): Promise<[Buffer, Values]> {
    const bound = isKnown(jobs) ? [] : [mostBytesInOne, 2 + (jobs[0]?.tagKeys.length ?? 0)]
    const call = { keys: keysOf(jobs), args: bound, buffers: true }
    return redis.run(readScript, call) as Promise<[Buffer, Values]>
  }

  const common = {
    ...bounds,
    keysOf: (job: ReadJob) => 1 + job.tagKeys.length,
    bytesOf: (job: ReadJob) => job.kind.weight.bytes || unknownBytes,
    refuse: (job: ReadJob) => job.unanswered(),
  }
  const isReady = () => shard.available && shard.settled

  const reads = createWindow<ReadJob>({
    ...common,
    // As when it began: who has waited may not read what is not proven any more.
    mayAsk: () => isReady() && bounds.now() - shard.lastProofMs <= ordinaryWindowMs,
    send(jobs, weight) {
      if (isKnown(jobs)) {
        const sent = redis.callBuffer('mget', keysOf(jobs)) as Promise<Values>
        return ask(operations.read, sent, (values) => deliver(jobs, values), reads, weight)
      }
      const answered = (reply: [Buffer, Values] | undefined) => {
        const done = deliver(jobs, reply?.[1])
        if (done < jobs.length) reads.again(jobs.slice(done))
      }
      ask(operations.read, run(jobs), answered, reads, weight)
    },
  })

  const strictReads = createWindow<ReadJob>({
    ...common,
    mayAsk: () => isReady() && bounds.now() < shard.trustedUntilMs,
    send(jobs, weight) {
      const answered = (reply: [Buffer, Values] | undefined) => {
        const done = deliver(jobs, reply?.[1], reply?.[0].toString('latin1'))
        if (done < jobs.length) strictReads.again(jobs.slice(done))
      }
      ask(operations.strict, run(jobs), answered, strictReads, weight)
    },
  })

  windows.push(reads, strictReads)
  return {
    read: createBatch<ReadJob>(Infinity, reads.add),
    readStrictly: createBatch<ReadJob>(Infinity, strictReads.add),
  }
}

const operations = {
  read: { name: 'read', deadlineMs: readDeadlineMs },
  strict: { name: 'read-strict', deadlineMs: readDeadlineMs },
} as const
const noTags: Values = []

/** One alone is read whatever it weighs. */
function isKnown(jobs: readonly ReadJob[]): boolean {
  if (jobs.length === 1) return true
  for (const job of jobs) if (job.kind.weight.bytes === 0) return false
  return true
}
