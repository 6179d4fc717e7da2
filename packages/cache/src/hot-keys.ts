import type { Cache } from './cache.ts'
import { durationMs, type Duration } from './duration.ts'
import type { Flight } from './flight.ts'
import { createHotList } from './hot-list.ts'
import { internalsOf } from './internals.ts'
import type { KindCore } from './kind-core.ts'
import { longestTimerMs, wholeNumber } from './number-option.ts'
import type { ReadSample } from './reads.ts'
import { warm, warmEntry, type Warm } from './warm.ts'

export type HotKeysOptions = {
  cache: Cache
  /** Counters, in each process and in Redis. Default 1,024. */
  size?: number
  /** After so long a count is worth half. Default 30m. */
  halfLife?: Duration
  /** How often processes add to the common list. Default 10,000. */
  everyMs?: number
  /** One read in this many is counted, for all of them; misses are counted each. Default 512. */
  sampleEvery?: number
  /** What is likely to be read after an entry of the kind; it is warmed when the entry is among the `hottest`. */
  related?: Readonly<Record<string, (...args: never[]) => readonly Warm[]>>
  /** How many keys count as hot. Default 100. */
  hottest?: number
}

export type HotKey = {
  readonly kind: string
  /** As it stands in Redis, after the kind; nothing personal is readable in it. */
  readonly key: string
  /** Reads, or misses; faded. */
  readonly count: number
  /** Of all that were counted. */
  readonly share: number
}
export type HotKeysList = {
  readonly keys: readonly HotKey[]
  readonly total: number
  /** No count is further from the (faded, sampled) truth, and every key with more than this is on the list. */
  readonly errorAtMost: number
}

export type HotKeys = {
  start(): void
  /** Adds what was counted to the common list, and stops. */
  stop(): Promise<void>
  /** Adds what was counted to the common list now. */
  push(): Promise<void>
  /** Of the whole fleet, also from before a restart; of this process while Redis is away. */
  top(what: 'reads' | 'misses', most?: number): Promise<HotKeysList>
  /** For a warming job: the most read and the most missed, those that can be loaded. */
  predict(most?: number): Promise<Warm[]>
}

const mostPrefetches = 4

/**
 * Which keys are read most, and which are missed most: approximately, in bounded memory, for the whole fleet.
 */
export function trackHotKeys(options: HotKeysOptions): HotKeys {
  const { cache, size = 1_024, everyMs = 10_000, sampleEvery = 512 } = options
  const { related = {}, hottest = 100 } = options
  const { space, loaded } = internalsOf(cache)
  // They are counted in the middle of reads, where nothing may be wrong.
  wholeNumber('size of hot keys', size, 1, 100_000)
  wholeNumber('everyMs of hot keys', everyMs, 1, longestTimerMs)
  wholeNumber('sampleEvery of hot keys', sampleEvery, 1, 2 ** 30)
  wholeNumber('hottest of hot keys', hottest, 0)
  for (const [kind, rule] of Object.entries(related)) {
    if (typeof rule === 'function') continue
    throw new TypeError(`related.${kind} of hot keys is no function: let it name the entries`)
  }
  const halfLifeMs = durationMs('halfLife of hot keys', options.halfLife ?? '30m')
  const reads = createHotList(space, 'reads', { size, halfLifeMs })
  const misses = createHotList(space, 'misses', { size, halfLifeMs })
  /** The hottest, and whether what belongs to each was fetched since the last push. */
  let hot = new Map<string, boolean>()
  let prefetching = 0

  const watcher = {
    every: sampleEvery,
    read({ kind, key, args }: ReadSample, weight: number) {
      const encoded = kind.names.encode(key)
      note(reads, kind, encoded, args, weight)
      prefetch(kind, encoded, args)
    },
    missed({ kind, encoded, request, callers }: Flight) {
      note(misses, kind, encoded, request.args, callers)
      prefetch(kind, encoded, request.args)
    },
  }
  function note(
    list: typeof reads,
    kind: KindCore,
    encoded: string,
    args: readonly unknown[] | undefined,
    weight: number,
  ) {
    const name = nameOf(kind, encoded)
    // Whether the arguments may be kept is looked at when the list is pushed: few keys get that far.
    list.local.add(name, weight, args && { kind, args })
  }

  function prefetch(kind: KindCore, encoded: string, args: readonly unknown[] | undefined): void {
    const rule = related[kind.name]
    const name = nameOf(kind, encoded)
    if (!rule || !args || hot.get(name) !== false || prefetching >= mostPrefetches) return
    // What is loaded could not be stored.
    if (!space.channel.shards.every(({ available }) => available)) return
    hot.set(name, true)
    let entries: readonly Warm[]
    try {
      entries = rule(...(args as never[]))
    } catch (cause) {
      // It is called in the middle of somebody's read.
      space.log.warn(
        { err: cause, kind: kind.name },
        `the rule of what is related to ${kind.name} threw`,
      )
      return
    }
    prefetching++
    void Promise.allSettled(entries.map((one) => warmEntry(one))).then(() => prefetching--)
  }

  async function push(): Promise<void> {
    if (!space.channel.shards.every(({ available }) => available)) return
    await Promise.all([reads.push(), misses.push()])
    if (Object.keys(related).length === 0) return
    const { entries } = await reads.read(hottest)
    hot = new Map(entries.map(({ name }) => [name, false]))
  }

  let stopWatching: (() => void) | undefined = space.reads.watch(watcher)
  let timer: NodeJS.Timeout | undefined
  return {
    start() {
      stopWatching ??= space.reads.watch(watcher)
      timer ??= setInterval(() => void push(), everyMs * (0.75 + space.random() / 2)).unref()
    },
    async stop() {
      clearInterval(timer)
      timer = undefined
      stopWatching?.()
      stopWatching = undefined
      await push()
    },
    push,
    async top(what, most = 20) {
      const { total, entries } = await (what === 'reads' ? reads : misses).read(most)
      const keys = entries.map(({ name, count }) => {
        const [kind = '', key = ''] = name.split(' ')
        return { kind, key, count, share: total === 0 ? 0 : count / total }
      })
      return { keys, total, errorAtMost: (2 * total) / size }
    },
    async predict(most = 500) {
      const lists = await Promise.all([reads.read(most), misses.read(most)])
      const chosen = new Map<string, Warm>()
      for (let rank = 0; rank < most && chosen.size < most; rank++) {
        for (const { entries } of lists) {
          const entry = entries[rank]
          if (!entry?.args) continue
          const kind = loaded.get(entry.name.split(' ')[0] ?? '')
          if (kind) chosen.set(entry.name, warm(kind, ...(entry.args as never[])))
        }
      }
      return [...chosen.values()].slice(0, most)
    },
  }
}

const nameOf = ({ names }: KindCore, encoded: string) => `${names.name}@${names.version} ${encoded}`
