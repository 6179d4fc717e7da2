import type { Invariant } from './checker.ts'
import type { History, Load } from './history.ts'

/** A call may take so long; what it needs from Redis has its own, much shorter bound. */
export const mostMsOfACall = 2_000

/** Loads for each read and write may rise to so much over those of the calm before. */
const mostRise = 2
/** Below this share of loads nobody would notice. */
const noticeable = 0.05

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
    if (after > noticeable && after > mostRise * before) {
      complain('load', toMs - 1, `${after.toFixed(3)} loads a call, ${before.toFixed(3)} before`)
    }
  }
}

const loadsOf = ({ loads, reads, writes }: Load) => loads / Math.max(1, reads + writes)
