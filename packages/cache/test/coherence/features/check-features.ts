import type { Invariant } from '../checker.ts'
import type { History, Invalidation, Phase } from '../history.ts'
import { phaseOf, type obligations } from '../obligations.ts'
import type { Facts, Hold } from './facts.ts'
import { features, type Feature } from './names.ts'

/** How long the audit of a run waits before it looks again. */
export const settleMs = 300

export type Complain = (invariant: Invariant, atMs: number, what: string) => void

/** What shows that a feature has done something: one of these must have been counted. */
const signs: Readonly<Record<Feature, string>> = {
  'write-behind': 'changes written behind',
  budget: 'entries removed for the budget',
  'hot-keys': 'related entries fetched',
  warming: 'entries warmed',
  adaptive: 'reads of a TTL that has grown',
  audit: 'entries audited',
  wrappers: 'calls of wrapped functions',
  locks: 'holds',
}

/** Holds what the features did against what they promise beyond the coherence of reads. */
export function checkFeatures(history: History, facts: Facts, complain: Complain): void {
  const { phases } = history
  checkOrder(
    'change',
    facts.puts.map((put) => ({ ...put, order: put.version })),
    complain,
  )
  checkOrder(
    'fencing token',
    facts.holds.map((hold) => ({ ...hold, order: hold.token, atMs: hold.acquiredMs })),
    complain,
  )
  for (const { row, version, refused, atMs } of facts.deliveries) {
    if (!refused || mayComeLate(phases, atMs)) continue
    complain(
      'order',
      atMs,
      `the source was given change ${version} of row ${row} after a newer one`,
    )
  }
  checkFenced(facts, complain)
  checkExclusion(phases, facts.holds, complain)
  for (const { keys, atMs } of facts.missing) {
    complain('neighbour', atMs, `${keys} keys of another namespace are gone`)
  }
  const endMs = phases.at(-1)?.toMs ?? 0
  for (const feature of features.filter((one) => facts.on.includes(one))) {
    if ((facts.activity[signs[feature]] ?? 0) > 0) continue
    complain('active', endMs, `${feature}: no ${signs[feature]}`)
  }
}

/** What was given before another was asked for is the smaller of the two. */
function checkOrder(
  what: string,
  given: readonly { row: number; order: number; fromMs: number; atMs: number }[],
  complain: Complain,
): void {
  for (const ofRow of Map.groupBy(given, ({ row }) => row).values()) {
    let earliest = { atMs: Infinity, order: Infinity }
    for (const one of ofRow.toSorted((a, b) => b.order - a.order)) {
      if (earliest.atMs < one.fromMs) {
        const { row, order, fromMs } = one
        complain('order', fromMs, `${what} ${order} of row ${row} came after ${earliest.order}`)
      }
      if (one.atMs < earliest.atMs) earliest = one
    }
  }
}

/** A process that stood still may have sent something before it was told that it is no longer the writer. */
function mayComeLate(phases: readonly Phase[], atMs: number): boolean {
  const phase = phaseOf(phases, atMs)
  return phase !== undefined && (phase.thawed.length > 0 || phase.bounds.stateForgets === true)
}

/** The writes of one hold stand together at the source, and tokens never go back there. */
function checkFenced({ fenced, holds }: Facts, complain: Complain): void {
  for (const [row, ofRow] of Map.groupBy(fenced, (one) => one.row)) {
    const done = new Set<string>()
    for (const [at, { holder, token }] of ofRow.entries()) {
      const before = ofRow[at - 1]
      if (before && before.holder !== holder) done.add(before.holder)
      const goesBack = before !== undefined && before.token > token
      if (!goesBack && !done.has(holder)) continue
      complain('order', 0, `a write of row ${row} under token ${token} came after ${before?.token}`)
    }
  }
  for (const { row, token, kept, refused, endedMs } of holds) {
    if (!kept || !refused) continue
    complain('order', endedMs, `the holder of row ${row} was refused with its token ${token}`)
  }
}

/** Two holds that both passed for kept until their end did not overlap, unless a failover lost the lock. */
function checkExclusion(
  phases: readonly Phase[],
  holds: readonly Hold[],
  complain: Complain,
): void {
  for (const [row, all] of Map.groupBy(holds, (one) => one.row)) {
    const kept = all.filter((one) => one.kept).toSorted((a, b) => a.acquiredMs - b.acquiredMs)
    for (const [at, next] of kept.entries()) {
      const before = kept[at - 1]
      if (!before || next.acquiredMs >= before.endedMs) continue
      if (phaseOf(phases, next.acquiredMs)?.bounds.stateForgets) continue
      const ms = (before.endedMs - next.acquiredMs).toFixed(0)
      complain('exclusive', next.acquiredMs, `two held the lock of row ${row} for ${ms} ms`)
    }
  }
}

/**
 * The audit is right to accuse an entry while the source is ahead of what the cache was told, or of what a failover had
 * it forget. Where everything that was committed had been told and was due before the audit's first look, it is not.
 */
export function checkAccusations(
  { commits, invalidations }: Pick<History, 'commits' | 'invalidations'>,
  { accusations }: Facts,
  { bindsAt }: Pick<ReturnType<typeof obligations>, 'bindsAt'>,
  complain: Complain,
): void {
  const told = new Map<string, Invalidation>()
  for (const one of invalidations) told.set(`${one.row} ${one.version}`, one)
  for (const { process, row, tier, atMs } of accusations) {
    const isDue = ({ version }: { version: number }) => {
      const invalidation = told.get(`${row} ${version}`)
      const seenBy = tier === 'l1' ? 'lagging' : 'direct'
      return invalidation !== undefined && bindsAt(invalidation, seenBy) < atMs - settleMs
    }
    const before = commits.filter((commit) => commit.row === row && commit.atMs <= atMs)
    if (!before.every(isDue)) continue
    complain('audit', atMs, `process ${process} accused row ${row} in ${tier}, which was right`)
  }
}
