import { checkAccusations, checkFeatures } from './features/check-features.ts'
import { inOrderOfAcceptance } from './features/write-order.ts'
import { origins, type History, type Phase, type ReadBatch } from './history.ts'
import { ageLimitsMs, nines, type Nines } from './nines.ts'
import { createSteps, mayForget, obligations, phaseOf } from './obligations.ts'
import { checkProcesses } from './process-checks.ts'

/** The promises that a run can break. */
export const invariants = {
  bound: 'no read is older than the bound of its phase allows',
  own: 'a process sees its own write from the moment its invalidation resolved',
  token: 'a read with a consistency token is not older than the write it stands for',
  back: 'what a process reads of a key never goes back',
  frozen: 'a process that was frozen does not serve L1 first',
  agree: 'soon after healing every tier agrees with the source',
  settle: 'every call settles in time',
  alive: 'no client gives up',
  load: 'the load on the source returns to its baseline',
  order:
    'changes that are written behind, and fencing tokens, keep the order in which they were given',
  exclusive: 'work that ended under its lock did not overlap with that of another holder',
  audit: 'the audit accuses no entry that is right',
  neighbour: 'a namespace beside one with a budget loses nothing',
  active: 'every feature that was switched on has done something',
} as const
export type Invariant = keyof typeof invariants

export type Violation = { invariant: Invariant; phase: string; atMs: number; what: string }

export type PhaseReport = {
  name: string
  reads: number
  readsByOrigin: Readonly<Record<string, number>>
  /** By age limit, in the order of `ageLimitsMs`. */
  stale: readonly number[]
  nines: readonly Nines[]
  oldestMs: number
  /** Reads that went back where a failover may forget. */
  wentBack: number
  /** Milliseconds after healing. */
  agreedAfterMs: number | undefined
}

export type Report = {
  phases: readonly PhaseReport[]
  reads: number
  writes: number
  violations: Readonly<Record<Invariant, number>>
  /** The first few of each invariant. */
  examples: readonly Violation[]
  /** What the features did. */
  activity: Readonly<Record<string, number>>
}

const examplesOfEach = 5

/** Holds a run against the guarantee. Pure: the same history has the same report. */
export function check(found: History): Report {
  const { facts } = found
  const history = facts ? inOrderOfAcceptance(found, facts) : found
  const { rows, phases } = history
  const owed = obligations(history)
  const committed = commitTimes(history)
  const counts = Object.fromEntries(Object.keys(invariants).map((name) => [name, 0])) as Record<
    Invariant,
    number
  >
  const examples: Violation[] = []
  const complain = (invariant: Invariant, atMs: number, what: string) => {
    counts[invariant]++
    if (counts[invariant] > examplesOfEach) return
    examples.push({ invariant, phase: phaseOf(phases, atMs)?.name ?? 'before', atMs, what })
  }
  const tallies = new Map(phases.map((phase) => [phase, newTally()]))
  const seen = new Map<string, ReturnType<typeof createSteps>>()
  const firstAfter = firstReadsAfterThaw(history)

  for (const batch of history.reads) {
    for (let i = 0; i < batch.row.length; i++) {
      const read = readAt(batch, i)
      const { row, version, startMs, endMs, origin, process } = read
      const phase = phaseOf(phases, startMs)
      const tally = phase && tallies.get(phase)
      const newer = committed.get(row)?.[version - 1]
      const ageMs = newer === undefined ? 0 : Math.max(0, startMs - newer)
      if (tally) {
        tally.reads++
        tally.byOrigin[origin]++
        tally.oldestMs = Math.max(tally.oldestMs, ageMs)
        for (const [index, limit] of ageLimitsMs.entries()) {
          if (ageMs > limit) tally.stale[index] = (tally.stale[index] ?? 0) + 1
        }
      }
      const story = () => describeRead(history, read, ageMs)

      const kind = origin === 'l1' || origin === 'unknown' || !read.alone ? 'lagging' : 'direct'
      const required = owed.forAll(row, version, kind).requiredAt(startMs)
      if (version < required) complain('bound', startMs, `${story()}; ${required} was owed`)
      const own = owed.forOwner(row, version, process).requiredAt(startMs)
      if (version < own) complain('own', startMs, `${story()}; it had itself invalidated ${own}`)
      if (version < read.token) {
        complain('token', startMs, `${story()}; its token stands for ${read.token}`)
      }
      // Until the writer's call has resolved nothing is promised: who looks past the caches may be ahead of them.
      const key = `${process} ${row}`
      let earlier = seen.get(key)
      if (!earlier) seen.set(key, (earlier = createSteps()))
      const before = earlier.requiredAt(startMs)
      const settled = Math.min(before, owed.applied(row, version).requiredAt(startMs))
      if (version < settled) {
        if (tally && phase && mayForget(phase.bounds, rows[row]?.strict ?? false)) tally.wentBack++
        else complain('back', startMs, `${story()}; it had read ${before} before`)
      }
      const promised = Math.min(version, owed.applied(row, version - 1).requiredAt(startMs))
      if (promised > before) earlier.add(endMs, promised)
      if (firstAfter.has(read.process) && firstAfter.get(process)?.has(startMs) && origin === 'l1')
        complain('frozen', startMs, `${story()}, its first after the thaw`)
    }
  }
  checkProcesses(history, complain)
  if (facts) {
    checkFeatures(history, facts, complain)
    checkAccusations(history, facts, owed, complain)
  }

  const reports = phases.map((phase) => reportOf(phase, tallies.get(phase) ?? newTally()))
  return {
    phases: reports,
    reads: reports.reduce((sum, { reads }) => sum + reads, 0),
    writes: history.commits.length,
    violations: counts,
    examples,
    activity: facts?.activity ?? {},
  }
}

/** How many promises were broken, in all. */
export const violationsIn = ({ violations }: Report): number =>
  Object.values(violations).reduce((sum, count) => sum + count, 0)

type Tally = ReturnType<typeof newTally>
const newTally = () => ({
  reads: 0,
  byOrigin: { l1: 0, l2: 0, source: 0, bypass: 0, unknown: 0 },
  stale: ageLimitsMs.map(() => 0),
  oldestMs: 0,
  wentBack: 0,
})

const reportOf = (phase: Phase, tally: Tally): PhaseReport => ({
  name: phase.name,
  reads: tally.reads,
  readsByOrigin: tally.byOrigin,
  stale: tally.stale,
  nines: tally.stale.map((stale) => nines(stale, tally.reads)),
  oldestMs: tally.oldestMs,
  wentBack: tally.wentBack,
  agreedAfterMs: phase.audit.agreedAfterMs,
})

type Read = ReturnType<typeof readAt>
const readAt = (batch: ReadBatch, i: number) => ({
  process: batch.process,
  row: batch.row[i] ?? 0,
  version: batch.version[i] ?? 0,
  startMs: batch.startMs[i] ?? 0,
  endMs: batch.endMs[i] ?? 0,
  origin: origins[batch.origin[i] ?? 0] ?? 'l1',
  alone: batch.alone[i] === 1,
  token: batch.token[i] ?? 0,
})

/** Of each row: when each version was replaced, by version − 1. */
function commitTimes({ commits }: History): Map<number, number[]> {
  const times = new Map<number, number[]>()
  for (const { row, version, atMs } of commits) {
    const ofRow = times.get(row) ?? []
    ofRow[version - 2] = atMs
    times.set(row, ofRow)
  }
  return times
}

/** By process: the start of its first read after each thaw. */
function firstReadsAfterThaw({ phases, reads }: History): Map<number, Set<number>> {
  const first = new Map<number, Set<number>>()
  for (const { process, atMs } of phases.flatMap(({ thawed }) => thawed)) {
    let earliest = Infinity
    for (const batch of reads) {
      if (batch.process !== process) continue
      for (const startMs of batch.startMs)
        if (startMs >= atMs && startMs < earliest) earliest = startMs
    }
    first.set(process, (first.get(process) ?? new Set()).add(earliest))
  }
  return first
}

function describeRead({ rows, phases, invalidations }: History, read: Read, ageMs: number): string {
  const { process, row, version, startMs, endMs, origin, alone } = read
  const facts = rows[row]
  const phase = phaseOf(phases, startMs)
  const next = invalidations.find((one) => one.row === row && one.version > version)
  const since = next
    ? `, ${next.outcome} by process ${next.process} ${(startMs - next.atMs).toFixed(0)} ms before`
    : ''
  return (
    `process ${process} read ${facts?.kind} ${row} at version ${version} from ${origin}` +
    ` ${(startMs - (phase?.fromMs ?? 0)).toFixed(0)} ms into ${phase?.name} (took ${(endMs - startMs).toFixed(1)} ms` +
    `${alone ? ', alone' : ''}), ${ageMs.toFixed(0)} ms stale${since}`
  )
}
