import type { Bounds, History, Invalidation, Phase } from './history.ts'

/** Reads by what they may still see: a value that waits in this process, or only what a tier answers now. */
export const readClasses = ['lagging', 'direct'] as const
export type ReadClass = (typeof readClasses)[number]

/** From when on no read may be older than a version. */
export type Steps = {
  /** The version that must be seen at least, by a read that starts at this time. */
  requiredAt(atMs: number): number
}

/** An invalidation shortly before a fault can be in the tail that the failover loses. */
const tailMs = 1_000

/**
 * Turns what was committed and invalidated into what reads owe, row by row: for everybody by class of read, and for the
 * process that invalidated, which must see its own write from the moment that the call resolved. What is asked is what a
 * read owes that returned this version.
 */
export function obligations({ rows, commits, invalidations, phases }: History) {
  const forAll = new Map<string, ReturnType<typeof createSteps>>()
  const forOwner = new Map<string, ReturnType<typeof createSteps>>()
  const applied = new Map<string, ReturnType<typeof createSteps>>()
  const resolved = new Set(invalidations.map(({ row, version }) => `${row} ${version}`))

  for (const one of invalidations) {
    for (const kind of readClasses) {
      at(forAll, `${covered(one)} ${kind}`).add(bindsAt(one, kind), one.version)
    }
    at(forOwner, `${covered(one)} ${one.process}`).add(one.atMs, one.version)
    if (one.outcome === 'applied') at(applied, covered(one)).add(one.atMs, one.version)
  }
  for (const { row, version, atMs } of commits) {
    if (resolved.has(`${row} ${version}`)) continue
    const lostWriterMs = phaseOf(phases, atMs)?.bounds.lostWriterMs
    if (lostWriterMs === undefined) continue
    for (const kind of readClasses) {
      at(forAll, `${covered({ row, version })} ${kind}`).add(atMs + lostWriterMs, version)
    }
  }

  /** Names the versions of a row that fall together. */
  function name(row: number, version: number): string {
    return `${row}/${version % (rows[row]?.tagsInTurn ?? 1)}`
  }
  function covered({ row, version }: { row: number; version: number }): string {
    return name(row, version - 1)
  }

  function bindsAt({ row, outcome, atMs }: Invalidation, kind: ReadClass): number {
    const strict = rows[row]?.strict ?? false
    const around = phases.filter(({ fromMs, toMs }) => atMs >= fromMs - tailMs && atMs < toMs)
    const times = around.flatMap(({ bounds, healedMs }) => {
      const repairMs = strict ? bounds.repairStrictMs : bounds.repairOrdinaryMs
      const lag = kind === 'lagging' ? bounds.lagMs : 0
      const found = [atMs + lag]
      if (repairMs !== undefined && atMs <= healedMs + repairMs) found.push(healedMs + repairMs)
      if (outcome === 'deferred') found.push(Math.max(atMs, healedMs) + bounds.deferredMs)
      return found
    })
    return Math.max(atMs, ...times)
  }

  return {
    /** From when on reads of a class owe what this invalidated. */
    bindsAt,
    /** What a master had been told, whether or not it was forgotten since. */
    applied: (row: number, version: number): Steps => at(applied, name(row, version)),
    forAll: (row: number, version: number, kind: ReadClass): Steps =>
      at(forAll, `${name(row, version)} ${kind}`),
    forOwner: (row: number, version: number, process: number): Steps =>
      at(forOwner, `${name(row, version)} ${process}`),
  }
}

/** The phase that a moment belongs to. */
export function phaseOf(phases: readonly Phase[], atMs: number): Phase | undefined {
  return phases.findLast(({ fromMs }) => atMs >= fromMs)
}

/** Whether a failover of the phase may have lost what this kind of row had been told. */
export function mayForget(bounds: Bounds, strict: boolean): boolean {
  return (strict ? bounds.repairStrictMs : bounds.repairOrdinaryMs) !== undefined
}

/** A function of time that only rises: the greatest version among those added up to a moment. */
export function createSteps() {
  let added: { atMs: number; version: number }[] = []
  let sorted = true
  return {
    add(atMs: number, version: number): void {
      added.push({ atMs, version })
      sorted = false
    },
    /** Strictly before: a read that starts in the same moment began, as far as anybody knows, earlier. */
    requiredAt(atMs: number): number {
      if (!sorted) {
        const rising: typeof added = []
        for (const one of added.toSorted((a, b) => a.atMs - b.atMs)) {
          if (one.version > (rising.at(-1)?.version ?? 0)) rising.push(one)
        }
        added = rising
        sorted = true
      }
      let [low, high] = [0, added.length]
      while (low < high) {
        const middle = (low + high) >> 1
        if ((added[middle]?.atMs ?? 0) < atMs) low = middle + 1
        else high = middle
      }
      return added[low - 1]?.version ?? 0
    },
  }
}

function at(
  map: Map<string, ReturnType<typeof createSteps>>,
  key: string,
): ReturnType<typeof createSteps> {
  let steps = map.get(key)
  if (!steps) map.set(key, (steps = createSteps()))
  return steps
}
