import { failedRow, rowOf, type Goal, type Row } from '../../harness/row.ts'
import {
  group,
  isOurs,
  newPrefix,
  startSubject,
  stopSubject,
  type Bench,
  type Remote,
} from './bench.ts'
import { failingMs, slowMs } from './loaders.ts'
import { peers, type SubjectName } from './subjects.ts'

/** Many callers on one key that is nowhere: how often is it loaded, and how long does the slowest wait? */

type Crowd = { processes: number; callers: number; loader: 'slow' | 'failing' }

/** 4 processes, 1,000 callers each, a load of 200 ms. */
export const coldKey = (bench: Bench): Promise<Row[]> =>
  crowds(bench, `One cold key, 4 processes × 1,000 callers, a load of ${slowMs} ms`, {
    processes: 4,
    callers: 1_000,
    loader: 'slow',
  })

/** One process, 100 callers, a loader that fails after 50 ms: each should hear of it, and nobody queue behind it. */
export const failingLoader = (bench: Bench): Promise<Row[]> =>
  crowds(bench, `A loader that fails after ${failingMs} ms, 100 callers`, {
    processes: 1,
    callers: 100,
    loader: 'failing',
  })

async function crowds(bench: Bench, name: string, crowd: Crowd): Promise<Row[]> {
  return group(bench, name, async () => {
    const rows: Row[] = []
    for (const subject of ['wattle', ...peers] as const) {
      bench.options.say(`${name}: ${subject}`)
      rows.push(...(await crowdOf(bench, name, subject, crowd)))
    }
    return rows.toSorted((a, b) => a.unit.localeCompare(b.unit))
  })
}

async function crowdOf(bench: Bench, name: string, subject: SubjectName, crowd: Crowd) {
  const { processes, callers, loader } = crowd
  const ours = isOurs(subject)
  const loadMs = loader === 'slow' ? slowMs : failingMs
  const goals: [loads: Goal, worst: Goal] = [
    { of: 'value', atMost: 1 },
    { of: 'ratio', atMost: 1.5 },
  ]
  const remotes: Remote[] = []
  try {
    const prefix = newPrefix()
    for (let at = 0; at < processes; at++) {
      // Where a library has one tier only, that is Redis: processes share it.
      const need = { loader, prefix, maxEntries: 10_000 }
      const remote =
        (await startSubject(bench, subject, need)) ??
        (await startSubject(bench, subject, { ...need, tiers: 'l2' }))
      if (!remote) return []
      remotes.push(remote)
    }
    const loads: number[] = []
    const worst: number[] = []
    // The first crowd finds cold code, and counts for nobody.
    for (let round = -1; round < Math.min(bench.options.rounds, 5); round++) {
      const atMs = Number(process.hrtime.bigint()) / 1e6 + 50
      const seen = await Promise.all(
        remotes.map((remote) => remote.crowd(round + 1, callers, atMs)),
      )
      if (round < 0) continue
      loads.push(seen.reduce((sum, one) => sum + one.loads, 0))
      worst.push(Math.max(...seen.map((one) => one.worstMs)))
    }
    const common = { group: name, variant: subject, ours }
    return [
      rowOf({ ...common, unit: 'loads', rounds: loads, goal: ours ? goals[0] : undefined }),
      {
        ...rowOf({ ...common, unit: 'ms, slowest caller', rounds: worst }),
        ratio: rowOf({ ...common, unit: '', rounds: worst }).value / loadMs,
        goal: ours ? goals[1] : undefined,
      },
    ]
  } catch (cause) {
    return [
      failedRow(
        { group: name, variant: subject, ours, unit: 'loads', goal: ours ? goals[0] : undefined },
        cause,
      ),
    ]
  } finally {
    await Promise.all(remotes.map(stopSubject))
  }
}
