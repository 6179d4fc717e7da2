import type { RedisConnection } from '@wattle/redis'
import type { Cache, LoadedKind, SqlQuery, WriteBehind } from '../../../src/index.ts'
import { clockMs } from '../clock.ts'
import { rowsOfKind, valueOf, type Kind, type Plan, type Value } from '../plan.ts'
import type { Put } from './facts.ts'
import { deliver } from './source-books.ts'

type Load = (row: number) => Promise<Value>

/** Short for the ordinary kind; for the strict one a change waits so long that what looks past it is seen. */
const everyMs = ({ strict }: Kind) => (strict ? 2_000 : 100)

/** Values of one process; no other process has them, and none is 1, which is there from the beginning. */
const firstOf = (process: number) => (process + 1) * 1_000_000

/** Puts of one process to the rows that are written behind. */
export function openBehind({
  cache,
  state,
  process,
  plan,
  memberOf,
  query,
  pause,
  written,
}: {
  cache: Cache
  state: RedisConnection
  process: number
  plan: Plan
  memberOf: (row: number) => LoadedKind<Load> | undefined
  query: SqlQuery
  /** A source that takes its time is what lets a load or another change come between. */
  pause: () => Promise<unknown>
  /** After each batch that was committed, before anybody is told. */
  written: () => void
}) {
  const writers = new Map<Kind, WriteBehind<Value>>()
  for (const [at, kind] of plan.kinds.entries()) {
    const member = kind.way === 'behind' ? memberOf(at * rowsOfKind) : undefined
    if (!member) continue
    const writes = cache.writeBehind(member, {
      redis: state,
      name: kind.name,
      replicas: 1,
      everyMs: everyMs(kind),
      takeOverAfterMs: 1_500,
      async write(changes) {
        const rows = changes.map(({ value, version }) => {
          return { row: value.row, value: value.version, version }
        })
        await pause()
        await deliver(query, rows)
        written()
      },
    })
    writers.set(kind, writes)
  }
  let value = firstOf(process)
  const all = [...writers.values()]
  const sum = (of: (writes: WriteBehind<Value>) => number) =>
    all.reduce((total, one) => total + of(one), 0)
  return {
    /** Puts another value; rejects with WriteRefusedError. */
    async put(row: number): Promise<Put & { token: string }> {
      const fromMs = clockMs()
      const next = valueOf(row, ++value)
      const writes = writers.get(plan.kindOf(row))
      if (!writes) throw new Error(`row ${row} is not written behind`)
      const { version, cache: done } = await writes.put(`row${row}`, next)
      const { outcome, token } = done
      const atMs = clockMs()
      return { process, row, value: next.version, version, outcome, fromMs, atMs, token }
    },
    activity: () => ({
      'changes accepted': sum((writes) => writes.statistics().accepted),
      'changes written behind': sum((writes) => writes.statistics().written),
      'changes coalesced': sum((writes) => writes.statistics().coalesced),
      'dead letters': sum((writes) => writes.statistics().dead),
    }),
    stop: () => Promise.all(all.map((writes) => writes.stop({ withinMs: 1_000 }))),
  }
}
