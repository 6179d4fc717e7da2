import { recorded, recordedCapacities } from '../../harness/references.ts'
import { failedRow, rowOf, type Goal, type Row } from '../../harness/row.ts'
import {
  group,
  isOurs,
  startSubject,
  stopSubject,
  type Bench,
  type Need,
  type Remote,
} from './bench.ts'
import { scanned, shifted, steady } from './sequences.ts'
import { peers, type SubjectName } from './subjects.ts'

/** What L1 takes for an entry, and how well it chooses what to keep. */

/** Bytes beyond key and value, of 100,000 small entries. */
export async function weight(bench: Bench): Promise<Row[]> {
  const [name, entries] = ['Bytes for an L1 entry, beyond key and value', 100_000]
  const goals: Partial<Record<SubjectName, Goal>> = { wattle: { of: 'value', atMost: 150 } }
  return group(bench, name, async () => {
    const rows: Row[] = []
    for (const subject of ['lru-cache', 'wattle', ...peers] as const) {
      bench.options.say(`${name}: ${subject}`)
      const common = { group: name, variant: subject, ours: isOurs(subject), unit: 'bytes' }
      const goal = goals[subject]
      try {
        const need = { loader: 'small', tiers: 'l1', execArgv: ['--expose-gc'] } satisfies Need
        const remote = await startSubject(bench, subject, need)
        if (!remote) continue
        const rounds = [await once(remote, () => remote.bytesPerEntry(entries))]
        rows.push(rowOf({ ...common, rounds, goal }))
      } catch (cause) {
        rows.push(failedRow({ ...common, goal }, cause))
      }
    }
    return rows
  })
}

/** Share of reads that L1 answered, against an LRU of the same size. */
export async function hitRatios(bench: Bench): Promise<Row[]> {
  const { quick, trace } = bench.options
  const of = { distinct: 100_000, skew: 0.9, length: quick ? 100_000 : 400_000 }
  const workloads: [name: string, sequence: () => Int32Array, capacity: number, atLeast: number][] =
    [
      ['Zipf 0.9, room for 1 %', () => steady(of), 1_000, 1],
      ['Zipf 0.9, room for 10 %', () => steady(of), 10_000, 1],
      ['Zipf 0.9 with scans, room for 10 %', () => scanned(of), 10_000, 1],
      ['Zipf 0.9, popularity shifts at once, room for 10 %', () => shifted(of), 10_000, 0.95],
    ]
  if (trace !== undefined) {
    const sequence = recorded(trace)
    for (const capacity of recordedCapacities) {
      const size = capacity.toLocaleString('en-US')
      workloads.push([`recorded trace, room for ${size}`, () => sequence, capacity, 1])
    }
  }
  const rows: Row[] = []
  for (const [workload, sequence, capacity, atLeast] of workloads) {
    const name = `Hit ratio: ${workload}`
    rows.push(
      ...(await group(bench, name, () => ratios(bench, name, sequence(), capacity, atLeast))),
    )
  }
  return rows
}

async function ratios(
  bench: Bench,
  name: string,
  sequence: Int32Array,
  maxEntries: number,
  atLeast: number,
): Promise<Row[]> {
  const rows: Row[] = []
  for (const subject of ['lru-cache', 'wattle', 'layered-loader'] as const) {
    bench.options.say(`${name}: ${subject}`)
    const ours = isOurs(subject)
    const goal: Goal | undefined = ours ? { of: 'ratio', atLeast } : undefined
    const common = { group: name, variant: subject, ours, unit: '%' }
    try {
      const remote = await startSubject(bench, subject, {
        tiers: 'l1',
        loader: 'small',
        maxEntries,
      })
      if (!remote) continue
      const hits = await once(remote, () => remote.hitRatio(sequence))
      const row = rowOf({ ...common, rounds: [hits * 100], goal })
      rows.push({ ...row, ratio: row.value / (rows[0]?.value ?? row.value) })
    } catch (cause) {
      rows.push(failedRow({ ...common, goal }, cause))
    }
  }
  return rows
}

/** Asks a cache one thing, and ends it. */
async function once<T>(remote: Remote, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } finally {
    await stopSubject(remote)
  }
}
