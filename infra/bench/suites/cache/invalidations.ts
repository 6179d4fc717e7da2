import { failedRow, median, quantile, rowOf, type Goal, type Row } from '../../harness/row.ts'
import {
  group,
  isOurs,
  newPrefix,
  startSubject,
  stopSubject,
  type Bench,
  type Remote,
} from './bench.ts'
import { peers, type SubjectName } from './subjects.ts'

/** What an invalidation costs, and how soon it is everywhere. */

const atMost = (value: number): Goal => ({ of: 'value', atMost: value })

/** Runs `measure` for ours and for each peer; what fails becomes a row that says so. */
async function forEach(
  bench: Bench,
  name: string,
  unit: string,
  measure: (subject: SubjectName) => Promise<Row[]>,
): Promise<Row[]> {
  return group(bench, name, async () => {
    const rows: Row[] = []
    for (const subject of ['wattle', ...peers] as const) {
      bench.options.say(`${name}: ${subject}`)
      try {
        rows.push(...(await measure(subject)))
      } catch (cause) {
        const ours = isOurs(subject)
        const goal = ours ? atMost(0) : undefined
        rows.push(failedRow({ group: name, variant: subject, ours, unit, goal }, cause))
      }
    }
    return rows.toSorted((a, b) => a.unit.localeCompare(b.unit))
  })
}

/** A tag that all of 50,000 entries carry: its invalidation, and the first read after it. */
export async function tagOfMany(bench: Bench): Promise<Row[]> {
  const entries = bench.options.quick ? 5_000 : 50_000
  const name = `Tag of ${entries.toLocaleString('en-US')} entries, invalidated`
  return forEach(bench, name, 'ms', async (subject) => {
    const ours = isOurs(subject)
    const need = { tagged: true, loader: 'stamp' } as const
    const remote =
      (await startSubject(bench, subject, need)) ??
      (await startSubject(bench, subject, { ...need, tiers: 'l2' }))
    if (!remote) return []
    try {
      const invalidate: number[] = []
      const read: number[] = []
      let stale = 0
      // The first one finds cold code, and counts for nobody.
      for (let round = -1; round < Math.min(bench.options.rounds, 7); round++) {
        await remote.fill(round < 0 ? 1_000 : entries)
        const seen = await remote.invalidateTag()
        if (!seen) return []
        if (round < 0) continue
        invalidate.push(seen.invalidateMs)
        read.push(seen.readMs)
        if (seen.stale) stale++
      }
      const note = stale > 0 ? `old value read after ${stale} of ${read.length}` : undefined
      const common = { group: name, variant: subject, ours, note }
      const goal = (value: number) => (ours ? atMost(value) : undefined)
      return [
        rowOf({ ...common, unit: 'ms, invalidation', rounds: invalidate, goal: goal(0.5) }),
        rowOf({ ...common, unit: 'ms, next read', rounds: read, goal: goal(1) }),
      ]
    } finally {
      await stopSubject(remote)
    }
  })
}

/** Commands that Redis executes for a hit in L1 of an entry with a tag. */
export async function commandsPerHit(bench: Bench): Promise<Row[]> {
  const [name, entries, reads] = ['Commands to Redis for an L1 hit, tagged', 1_000, 50_000]
  return forEach(bench, name, 'commands', async (subject) => {
    const ours = isOurs(subject)
    const remote = await startSubject(bench, subject, { tagged: true })
    if (!remote) return []
    try {
      await remote.fill(entries)
      await remote.fill(entries)
      const before = await commandsSoFar(bench)
      await remote.hits(entries, reads, 1)
      const commands = ((await commandsSoFar(bench)) - before) / reads
      // Heartbeats come by time and not by hits: some in a second, for any number of hits.
      const goal = ours ? atMost(0.01) : undefined
      return [
        rowOf({ group: name, variant: subject, ours, unit: 'commands', rounds: [commands], goal }),
      ]
    } finally {
      await stopSubject(remote)
    }
  })
}

async function commandsSoFar({ redis }: Bench): Promise<number> {
  const client = redis.client()
  const [, count] = /total_commands_processed:(\d+)/.exec(await client.info('stats')) ?? []
  client.disconnect()
  return Number(count)
}

/** From the call of an invalidation to the entry's absence from another process's L1. */
export async function propagation(bench: Bench): Promise<Row[]> {
  const name = 'From invalidation to removal from another process’s L1'
  const samples = bench.options.quick ? 50 : 500
  const withinMs = 500
  return forEach(bench, name, 'ms, p50', async (subject) => {
    const ours = isOurs(subject)
    const need = { loader: 'stamp', prefix: newPrefix() } as const
    const remotes: Remote[] = []
    try {
      for (let at = 0; at < 2; at++) {
        const remote = await startSubject(bench, subject, need)
        if (!remote) return []
        remotes.push(remote)
      }
      const [issuer, watcher] = remotes
      if (!issuer || !watcher) return []
      const lags: number[] = []
      for (let sample = -20; sample < samples && !isSilent(lags); sample++) {
        const number = sample + 100
        await watcher.watch(number, withinMs)
        const began = await issuer.invalidate(number)
        const gone = await watcher.gone()
        if (sample >= 0) lags.push((gone ?? Infinity) - began)
      }
      const never = lags.filter((lag) => lag === Infinity).length
      const note = never > 0 ? `not within ${withinMs} ms: ${never} of ${lags.length}` : undefined
      const common = { group: name, variant: subject, ours, note }
      const spread = [Math.min(...lags), Math.max(...lags)] as const
      const [p50, p99] = [median(lags), quantile(lags, 0.99)]
      const goal = (value: number) => (ours ? atMost(value) : undefined)
      return [
        { ...common, unit: 'ms, p50', value: p50, spread, goal: goal(0.5) },
        { ...common, unit: 'ms, p99', value: p99, spread, goal: goal(2) },
      ]
    } finally {
      await Promise.all(remotes.map(stopSubject))
    }
  })
}

/** Whether no message ever came: a few time-outs tell as much as hundreds. */
const isSilent = (lags: readonly number[]): boolean =>
  lags.length >= 5 && lags.every((lag) => lag === Infinity)
