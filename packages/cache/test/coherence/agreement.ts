import { setTimeout as wait } from 'node:timers/promises'
import type { Collected } from './collected.ts'
import { fences } from './features/source-books.ts'
import type { Audit } from './history.ts'
import { clockMs } from './clock.ts'
import { type Plan } from './plan.ts'
import type { Source } from './source.ts'
import type { WorkerProcess } from './worker-process.ts'

/**
 * Asks every process for every row, again and again, until all agree with the source, and the source has every change
 * that write-behind accepted. Nobody writes meanwhile but what is behind.
 */
export async function agreement({
  deadlineMs,
  sinceMs,
  isMadeUpFor,
  workers,
  source,
  plan: { kindOf },
  collected,
}: {
  deadlineMs: number
  sinceMs: number
  /** Where a writer died before it could invalidate, only an outbox makes up for it. */
  isMadeUpFor: boolean
  workers: readonly WorkerProcess[]
  source: Source
  plan: Plan
  collected: Collected
}): Promise<Audit> {
  const invalidated = new Map<number, Set<number>>()
  for (const { row, version } of collected.history.invalidations) {
    invalidated.set(row, (invalidated.get(row) ?? new Set()).add(version))
  }
  const accepted = new Map<number, number>()
  for (const { row, version } of collected.puts) {
    accepted.set(row, Math.max(version, accepted.get(row) ?? 0))
  }
  const isOwed = (row: number, version: number) =>
    isMadeUpFor || kindOf(row).way === 'behind' || (invalidated.get(row)?.size ?? 0) >= version - 1

  for (;;) {
    const versions = await source.versions()
    const written = await fences(source.query)
    const answers = await Promise.all(workers.map((worker) => worker.audit()))
    const lost = [...accepted].flatMap(([row, version]) =>
      (written[row] ?? 0) >= version
        ? []
        : [`${kindOf(row).name} ${row}: the source has change ${written[row]}, not ${version}`],
    )
    const differing = answers.flatMap((answer, index) =>
      answer.versions.flatMap((version, row) =>
        version === versions[row] || !isOwed(row, versions[row] ?? 1)
          ? []
          : [
              `${kindOf(row).name} ${row} in process ${workers[index]?.process}: version ${version} from ` +
                `${answer.origins[row]}, not ${versions[row]}`,
            ],
      ),
    )
    const all = [...lost, ...differing]
    if (all.length === 0) return { agreedAfterMs: clockMs() - sinceMs, differing: all }
    if (clockMs() > deadlineMs) return { agreedAfterMs: undefined, differing: all }
    await wait(50)
  }
}
