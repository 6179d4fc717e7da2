import type { Invariant } from './checker.ts'
import type { History, Load } from './history.ts'

/** A call may take two seconds, and on a busy machine a little more: a dead holder's lease lives 1.5 s. */
export const mostMsOfACall = 2_500

/** Loads for each write may rise to so much over those of the first calm, and by a few besides. */
const mostRise = 3
const noticeable = 10

/** What does not depend on single reads: calls that hang, clients that end, tiers that differ, load that stays. */
export function checkProcesses(
  { late, broken, phases }: History,
  complain: (invariant: Invariant, atMs: number, what: string) => void,
): void {
  for (const { process, what, ms, atMs } of late) {
    complain('settle', atMs, `process ${process}: ${what} took ${ms.toFixed(0)} ms`)
  }
  for (const { process, what, atMs } of broken)
    complain('alive', atMs, `process ${process}: ${what}`)
  for (const { audit, load, toMs } of phases) {
    if (audit.agreedAfterMs === undefined) {
      const some = audit.differing.slice(0, 3).join('; ')
      complain(
        'agree',
        toMs - 1,
        `${audit.differing.length} values differ from the source: ${some}`,
      )
    }
    if (!load) continue
    const [before, after] = [loadsOf(load.before), loadsOf(load.after)]
    if (after > mostRise * before + noticeable) {
      complain(
        'load',
        toMs - 1,
        `${after.toFixed(1)} loads for each write, ${before.toFixed(1)} in the first calm`,
      )
    }
  }
}

const loadsOf = ({ loads, writes }: Load) => loads / Math.max(1, writes)
