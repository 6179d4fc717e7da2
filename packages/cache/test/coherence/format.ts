import { invariants, type Invariant, type PhaseReport, type Report } from './checker.ts'
import type { Fault } from './fault.ts'
import { ageLimitsMs, formatNines, nines } from './nines.ts'

const limits = ageLimitsMs.map((ms) => (ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`))

/** Nines of fresh reads for each fault, over any number of runs. */
export function formatNinesTable(reports: readonly Report[]): string {
  const byName = new Map<string, PhaseReport[]>()
  for (const phase of reports.flatMap(({ phases }) => phases)) {
    byName.set(phase.name, [...(byName.get(phase.name) ?? []), phase])
  }
  const lines = [...byName].map(([name, phases]) => {
    const sum = (of: (phase: PhaseReport) => number) =>
      phases.reduce((all, one) => all + of(one), 0)
    const reads = sum((phase) => phase.reads)
    const cells = limits.map((_, at) =>
      formatNines(
        nines(
          sum(({ stale }) => stale[at] ?? 0),
          reads,
        ),
      ),
    )
    const l1 = sum(({ readsByOrigin }) => readsByOrigin['l1'] ?? 0)
    const oldest = Math.max(...phases.map(({ oldestMs }) => oldestMs))
    const agreed = Math.max(...phases.map(({ agreedAfterMs }) => agreedAfterMs ?? Infinity))
    return [
      name,
      String(phases.length),
      String(reads),
      `${((100 * l1) / Math.max(1, reads)).toFixed(0)} %`,
      ...cells,
      `${oldest.toFixed(0)} ms`,
      Number.isFinite(agreed) ? `${agreed.toFixed(0)} ms` : 'never',
      String(sum(({ wentBack }) => wentBack)),
    ]
  })
  const header = ['fault', 'times', 'reads', 'L1', ...limits, 'oldest', 'agreed', 'back']
  return table([header, ...lines])
}

/** What broke of some promises, with examples; empty when nothing did. */
export function formatViolations(
  report: Report,
  names = Object.keys(invariants) as readonly Invariant[],
): string[] {
  return names
    .filter((name) => report.violations[name] > 0)
    .flatMap((name) => [
      `  ${report.violations[name]} times not kept: ${invariants[name]}`,
      ...report.examples
        .filter(({ invariant }) => invariant === name)
        .map(({ phase, what }) => `    ${phase}: ${what}`),
    ])
}

/** What the features did, over any number of runs. */
export function formatActivity(reports: readonly Report[]): string[] {
  const sums = new Map<string, number>()
  for (const [what, count] of reports.flatMap(({ activity }) => Object.entries(activity))) {
    sums.set(what, (sums.get(what) ?? 0) + count)
  }
  return [...sums].filter(([, count]) => count > 0).map(([what, count]) => `${what}: ${count}`)
}

/** The bounds that each fault is held to. */
export function formatBounds(faults: readonly Fault[]): string {
  const header = ['fault', 'L1, ms', 'ordinary after healing', 'strict after healing', 'deferred']
  const lines = faults.map(({ name, bounds }) => [
    name,
    String(bounds.lagMs),
    String(bounds.repairOrdinaryMs ?? 'at once'),
    String(bounds.repairStrictMs ?? 'at once'),
    String(bounds.deferredMs),
  ])
  return table([header, ...lines])
}

function table(rows: readonly (readonly string[])[]): string {
  const widths =
    rows[0]?.map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length))) ?? []
  return rows
    .map((row) =>
      row
        .map((cell, at) =>
          at === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[at] ?? 0),
        )
        .join('  '),
    )
    .join('\n')
}
