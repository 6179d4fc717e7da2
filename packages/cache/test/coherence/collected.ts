import type { Accusation, Hold, Put } from './features/facts.ts'
import type { History, Load } from './history.ts'
import type { Batch } from './messages.ts'
import { owners, type Plan } from './plan.ts'
import type { WorkerProcess } from './worker-process.ts'

type Totals = Pick<Batch, 'loads' | 'writes' | 'activity'>

/** What the processes of a run report, put together. */
export function createCollected({ kindOf, rowCount }: Plan) {
  const history: Mutable<Omit<History, 'facts'>> = {
    rows: Array.from({ length: rowCount }, (_, row) => {
      const { name, way, strict } = kindOf(row)
      const tagsInTurn = way === 'valueTag' ? owners : 1
      return { kind: name, strict, tagsInTurn, behind: way === 'behind' }
    }),
    commits: [],
    invalidations: [],
    reads: [],
    phases: [],
    late: [],
    broken: [],
  }
  const puts: Put[] = []
  const holds: Hold[] = []
  const accusations: Accusation[] = []
  const totals = new Map<WorkerProcess, Totals>()
  let retired: Totals = { loads: 0, writes: 0, activity: {} }

  return {
    history,
    puts,
    holds,
    accusations,
    add(from: WorkerProcess | undefined, batch: Batch): void {
      if (batch.reads.row.length > 0) history.reads.push(batch.reads)
      history.invalidations.push(...batch.invalidations)
      history.late.push(...batch.late)
      history.broken.push(...batch.broken)
      puts.push(...batch.puts)
      holds.push(...batch.holds)
      accusations.push(...batch.accusations)
      if (from) totals.set(from, batch)
    },
    /** The process is dead; what it did still counts. */
    retire(worker: WorkerProcess): void {
      const last = totals.get(worker)
      totals.delete(worker)
      if (last) retired = sum(retired, last)
    },
    /** Loads and writes so far. */
    work(): Load {
      const { loads, writes } = [...totals.values()].reduce(sum, retired)
      return { loads, writes }
    },
    activity: () => [...totals.values()].reduce(sum, retired).activity,
  }
}
export type Collected = ReturnType<typeof createCollected>

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer One)[] ? One[] : T[K] }

function sum(a: Totals, b: Totals): Totals {
  const activity = { ...a.activity }
  for (const [what, count] of Object.entries(b.activity)) {
    activity[what] = (activity[what] ?? 0) + count
  }
  return { loads: a.loads + b.loads, writes: a.writes + b.writes, activity }
}
