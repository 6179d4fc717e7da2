import type { KeySpace } from '@wattle/redis'
import type { Invalidation } from '../invalidation.ts'
import type { KindCore } from '../kind-core.ts'
import type { Key } from '../kind-name.ts'
import { LockHeldError } from '../locks/errors.ts'
import { createLocks } from '../locks/locks.ts'
import type { Ref } from '../refs.ts'
import type { Store } from '../store.ts'
import { textOf } from '../text-of.ts'
import { createAcceptor } from './accept.ts'
import { pack, type Packed } from './change.ts'
import type { WriteMetrics } from './counts.ts'
import { createDeadLetters } from './dead-letters.ts'
import { createDelivery } from './delivery.ts'
import { WriteRefusedError } from './errors.ts'
import { createHeld } from './held.ts'
import { openJournal } from './journal.ts'
import { settingsOf, type Backlog, type WriteBehind, type WriteBehindOptions } from './options.ts'
import { createOverlay } from './overlay.ts'
import type { Parts } from './parts.ts'
import { createPause } from './pause.ts'
import { placeOf } from './place.ts'
import { createWriter } from './writer.ts'

/*
 * Write-behind: a change counts from the moment a durable stream has it; the source follows.
 *
 *     put ── lease ── accept ────────────── set ──▶ caller                     source
 *                       │ one script                                             ▲
 *                  ┌────▼─────────────────┐   XREADGROUP   ┌────────┐   batch    │
 *                  │ stream   e1 e2 e3 …  │ ─────────────▶ │ writer │ ───────────┘
 *                  │ pending  key → e3    │ ◀───────────── └────────┘ then settle, invalidate, forget
 *                  └────▲─────────────────┘
 *     load ── is one pending? ── no ──▶ source
 *
 * What holds: (1) what was accepted is written, or lies among the dead letters; (2) after `put` no load returns a value
 * from before it; (3) of one key, changes reach the source in the order of acceptance; one that a newer change overtook
 * may be left out.
 *
 * Step by step, and what it means to die there:
 *
 * - *lease*: `put` is the cache's write-through with the stream as its source (`store.update`). It takes the key's lease, so
 *   a load that is under way cannot store what it read; of two puts at once only one that nobody overtook stores its
 *   value, else the entry is dropped and the next load finds the pending change.
 * - *accept*: one script appends the change and marks its key. Not there before, there after, also for who dies waiting for
 *   the answer. Where replicas are asked for, WAIT goes out behind it in the same write; without their confirmation the
 *   put is refused, though it may be written: the caller knows as much as after a lost answer to a commit.
 * - between accept and *set*: the cache has the old value still, and the caller no answer. The entry goes when the change has
 *   been written, since the writer invalidates whether or not a put did.
 * - *write*: one process at a time is the writer, by a lock. It dies: the entries stay delivered and not acknowledged; the
 *   next writer takes them (XAUTOCLAIM), and writes them again, so `write` must be idempotent. It freezes, loses
 *   the lock, and wakes: its signal is aborted, it settles nothing; but what it has sent to the source may arrive after
 *   its successor's. Only a source that compares `version` refuses that.
 * - *settle*: takes the key's mark off, if no newer change set it since. From here loads ask the source, which has it. Before
 *   the write it would be too early. Who takes over an entry without a mark, or overtaken by a newer one, does not write
 *   it: that could go back behind what was written.
 * - *invalidate*: the entry may be older than the change (see above), or be what was put where the source keeps something
 *   else (rounded, defaulted). After settling, since a load before it would store what was put once more.
 * - *forget*: acknowledges and deletes the entries. Last, so that whoever dies before is repeated.
 * - *bury*: a change that the source refuses, again and again and alone, is copied to the dead letters and its mark taken
 *   off in one script; then invalidate and forget as above. Readers see the source's value again. When the dead letters
 *   are full it stays and is tried on: nothing is ever dropped to make room.
 *
 * A load asks for the mark first and the source second, never the other way round. When the mark cannot be asked for,
 * the load is refused (or told to trust the source, by `whenStateIsAway`).
 *
 * The pattern is that of write-behind in Oracle Coherence and Hazelcast's MapStore (coalescing, requeueing); what they
 * keep in the memory of a cluster is a stream with a consumer group here.
 */

const backoff = { shortestMs: 100, longestMs: 2_000 }
/** Who has been the writer for so long fails for the first time again. */
const longWhileMs = 10_000

export function createWriteBehind<V>(
  {
    core,
    store,
    keys,
    invalidate: invalidateRefs,
    metrics: countsOf,
  }: {
    core: KindCore
    store: Store
    keys: KeySpace
    invalidate: (refs: readonly Ref[]) => Promise<Invalidation>
    metrics: WriteMetrics
  },
  options: WriteBehindOptions<V>,
): WriteBehind<V> {
  const settings = settingsOf(options)
  const { redis, name, maxValueBytes, takeOverAfterMs } = settings
  const { log, now, random } = core.space
  const place = placeOf(keys, redis, name)
  const counts = countsOf(name, backlog)
  const { pause, wake } = createPause()
  const parts: Parts<V> = {
    settings,
    place,
    journal: openJournal({ settings, place }),
    held: createHeld(),
    counts,
    invalidate: (encoded) => invalidateRefs(encoded.map((entry) => ({ entry, kind: core.names }))),
    pause,
    log,
    now,
    random,
  }
  const accept = createAcceptor(parts)
  const lead = createWriter({ ...parts, delivery: createDelivery(parts) })
  const locks = createLocks({ redis, keys, now, random })
  core.overlay = createOverlay(parts)

  const ended = new AbortController()
  let isEnding = false

  async function run(): Promise<void> {
    await redis.whenReady(5_000)
    const lock = { ttl: `${takeOverAfterMs}ms` } as const
    for (let failures = 0; !ended.signal.aborted;) {
      let beganMs = Infinity
      try {
        await locks.withLock(['writes', name], lock, ({ signal, token }) => {
          beganMs = now()
          const both = AbortSignal.any([signal, ended.signal])
          return lead({ signal: both, token }, () => isEnding)
        })
        failures = 0
        if (isEnding) return
      } catch (cause) {
        if (ended.signal.aborted) return
        if (cause instanceof LockHeldError) {
          // Another process is the writer, and goes on.
          if (isEnding) return
          failures = 0
          await pause((takeOverAfterMs / 5) * (0.5 + random()), ended.signal)
          continue
        }
        if (now() - beganMs > longWhileMs) failures = 0
        if (failures++ === 0) {
          log.warn(
            { writes: name, err: cause },
            `the writer of ${name} begins anew: ${textOf(cause)}`,
          )
        }
        const ms = Math.min(backoff.longestMs, backoff.shortestMs * 2 ** Math.min(failures, 10))
        await pause(ms * (0.5 + random() / 2), ended.signal)
      }
    }
  }
  const running = run()

  async function backlog(): Promise<Backlog> {
    const { client } = redis
    const [changes, pending, dead, first] = await Promise.all([
      client.xlen(place.stream),
      client.hlen(place.pending),
      client.xlen(place.dead),
      client.xrange(place.stream, '-', '+', 'COUNT', 1),
    ])
    const oldestUs = Number(first[0]?.[0].split('-')[0] ?? Infinity)
    const ageMs = core.space.channel.shards[0]?.clock.nowMs() ?? 0
    const oldestMs = Number.isFinite(oldestUs) ? Math.max(0, ageMs - oldestUs / 1_000) : 0
    return { changes, keys: pending, deadLetters: dead, oldestMs }
  }

  async function putPacked(
    key: Key,
    value: V,
    packed: Packed,
    tags: readonly string[] | undefined,
  ) {
    let version = 0
    const done = await store.update(
      key,
      async () => {
        version = await accept(packed)
        return value
      },
      { tags },
    )
    return { outcome: 'accepted', version, cache: done.invalidation } as const
  }

  return {
    async put(key, value, { tags } = {}) {
      const encoded = core.names.encode(key)
      try {
        if (isEnding) {
          const message = `the change of ${encoded} was refused, since write-behind ${name} has been stopped here: stop it after everything that puts`
          throw new WriteRefusedError('stopped', message)
        }
        const bounds = { maxValueBytes, compressAbove: core.policy.compressAbove }
        const packed = await pack({ key, encoded, value }, bounds)
        const accepted = await putPacked(key, value, packed, tags)
        counts.add('accepted')
        return accepted
      } catch (cause) {
        counts.add('refused')
        throw cause
      }
    },
    deadLetters: createDeadLetters<V>({ ...parts, accept }),
    backlog,
    statistics: counts.snapshot,
    async stop({ withinMs = 10_000 } = {}) {
      isEnding = true
      wake()
      const timer = setTimeout(() => ended.abort(new Error('the time to end is over')), withinMs)
      await running
      clearTimeout(timer)
    },
  }
}
