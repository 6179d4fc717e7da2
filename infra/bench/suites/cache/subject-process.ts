import type { Took } from '../../harness/measure.ts'
import { countedLoader, type LoaderName } from './loaders.ts'
import type { Setting } from './subject.ts'
import { subjects, type SubjectName } from './subjects.ts'
import { bytesPerEntry } from './weigh.ts'

/** One cache in a process of its own, and what is done to it there: only figures cross the process boundary. */

export type ProcessSetting = Omit<Setting, 'load'> & { subject: SubjectName; loader: LoaderName }
export type SubjectProcess = NonNullable<Awaited<ReturnType<typeof open>>>

export async function open({ subject: name, loader, ...rest }: ProcessSetting) {
  const { load, loads } = countedLoader(loader)
  const openSubject = await subjects[name]()
  const subject = await openSubject({ ...rest, load })
  if (!subject) return undefined
  const { get, getMany, unwrap = (result) => result } = subject
  const { prefix } = rest
  const key = (number: number) => `${prefix}-${number}`
  const keysFrom = (first: number, count: number) =>
    Array.from({ length: count }, (_, at) => key(first + at))
  let fresh = 1e9
  let watched: Promise<number> | undefined

  const readAll = async (keys: readonly string[], times: number, atOnce: number) => {
    let next = 0
    const reader = async () => {
      while (next < times) await get(keys[next++ % keys.length] ?? '')
    }
    const done = stopwatch()
    await Promise.all(Array.from({ length: atOnce }, reader))
    return done()
  }

  return {
    /** Puts so many entries in, by reading them. */
    fill: async (entries: number) => void (await readAll(keysFrom(0, entries), entries, 64)),

    /** Reads entries that are there, and says how long it took. */
    hits(entries: number, times: number, atOnce: number) {
      return readAll(keysFrom(0, entries), times, atOnce)
    },

    /** Reads entries that are there, so many a call, one call after another; undefined without such an operation. */
    async manyHits(entries: number, times: number, each: number) {
      if (!getMany) return undefined
      const batches = Array.from({ length: Math.floor(entries / each) }, (_, at) =>
        keysFrom(at * each, each),
      )
      const done = stopwatch()
      for (let at = 0; at < times; at++) await getMany(batches[at % batches.length] ?? [])
      return done()
    },

    /** Reads what is not there. */
    misses(times: number, atOnce: number) {
      const keys = keysFrom(fresh, times)
      fresh += times
      return readAll(keys, times, atOnce)
    },

    /** Many callers on one key at a given moment: how often the loader ran, how long the slowest waited. */
    async crowd(number: number, callers: number, atMs: number) {
      const before = loads()
      while (now() < atMs) await new Promise(setImmediate)
      const began = now()
      const waits = Array.from({ length: callers }, () =>
        get(key(number)).then(
          () => [now(), false] as const,
          () => [now(), true] as const,
        ),
      )
      const ended = await within(crowdPatienceMs, Promise.all(waits))
      return {
        loads: loads() - before,
        worstMs: Math.max(...ended.map(([at]) => at)) - began,
        failed: ended.filter(([, failed]) => failed).length,
      }
    },

    /** Invalidates the tag of all entries, then reads one of them. Undefined where there are no tags. */
    async invalidateTag() {
      if (!subject.invalidateTag) return undefined
      const old = unwrap(await get(key(0)))
      const began = now()
      await subject.invalidateTag()
      const invalidated = now()
      const next = unwrap(await get(key(0)))
      const read = now()
      const stale = JSON.stringify(old) === JSON.stringify(next)
      return { invalidateMs: invalidated - began, readMs: read - invalidated, stale }
    },

    /** Invalidates one entry; when it began. */
    async invalidate(number: number) {
      const began = now()
      await subject.invalidate(key(number))
      return began
    },

    /** Begins to watch one entry in L1: resolves as soon as it is there. */
    async watch(number: number, withinMs: number) {
      await get(key(number))
      const old = JSON.stringify(unwrap(await get(key(number))))
      const until = now() + withinMs
      const look = async (): Promise<number> => {
        for (;;) {
          const at = now()
          if (JSON.stringify(unwrap(await get(key(number)))) !== old) return at
          if (at > until) return Infinity
          await new Promise(setImmediate)
        }
      }
      watched = look()
    },

    /** When the watched entry was gone from L1; Infinity when it stayed. */
    gone: () => watched,

    /** Reads a sequence of keys, one after another; the share that L1 had. */
    async hitRatio(sequence: Int32Array) {
      const before = loads()
      let hits = 0
      for (const number of sequence) {
        if (!subject.isL1Hit) await get(String(number))
        else if (await subject.isL1Hit(String(number))) hits++
      }
      if (!subject.isL1Hit) hits = sequence.length - (loads() - before)
      return hits / sequence.length
    },

    /** Bytes that an entry takes beyond its key and its value, with room for just these. Needs --expose-gc. */
    bytesPerEntry(entries: number) {
      const another = { ...rest, load, prefix: `${prefix}x`, maxEntries: entries }
      return bytesPerEntry(() => openSubject(another), keysFrom(0, entries))
    },

    close: async () => void (await Promise.race([subject.close(), giveUp()])),
  }
}

/** The clock that all processes of a machine share, in milliseconds. */
const now = () => Number(process.hrtime.bigint()) / 1e6

/** Starts counting; what it returns ends it. Loaders run here as well, the same for everybody. */
function stopwatch(): () => Took {
  const [began, cpu] = [performance.now(), process.cpuUsage()]
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    return { ms: performance.now() - began, cpuMs: (user + system) / 1000 }
  }
}

/** How long the slowest caller of a crowd may wait; some libraries let callers of theirs wait for ever. */
const crowdPatienceMs = 15_000

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const timeOut = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new Error(`callers still waited after ${ms / 1000} s`)), ms).unref()
  })
  return Promise.race([promise, timeOut])
}

const giveUp = () => new Promise((resolve) => void setTimeout(resolve, 1_000).unref())
