import type { Argument } from '../call.ts'
import type { Script } from '../script.ts'

/** A script of `defineChannelScript`, with what it takes beyond that. */
export interface Call {
  script: Script
  /** From KEYS[3]. */
  keys: readonly string[]
  /** From ARGV[3]. */
  args: readonly Argument[]
}

/** A message, and what its script does in the same step. See `Channel.announce`. */
export interface Announcement extends Call {
  payload: string
  /** Runs at the first attempt instead, where doing the same again would not be idempotent. Reply as that of `script`. */
  first?: Call | undefined
}

export interface Issue extends Announcement {
  /** The history that executed it last; undefined while none is known to have. */
  epoch: string | undefined
  issuedAtMs: number
  /** Its first attempt is under way: nobody else sends it. */
  flying: boolean
}

/**
 * What this process announced lately, because a failover may lose the end of the old master's history; and what it could
 * not deliver, which is the same to the ring: an issue that the present history has not executed is due.
 *
 * Bounded. A full ring is replaced by one issue that covers all it held, never by forgetting.
 */
export function createRing({
  keepMs,
  most,
  collapse,
}: {
  /** Longer than any history that a failover can lose. */
  keepMs: number
  most: number
  collapse: () => Announcement
}) {
  const issues = new Set<Issue>()

  function collapseAll(nowMs: number): void {
    const held = [...issues].filter(({ flying }) => !flying)
    const epochs = new Set(held.map(({ epoch }) => epoch))
    for (const issue of held) issues.delete(issue)
    const [epoch] = epochs.size === 1 ? epochs : [undefined]
    issues.add({ ...collapse(), epoch, issuedAtMs: nowMs, flying: false })
  }

  return {
    get size() {
      return issues.size
    },
    add(announcement: Announcement, nowMs: number): Issue {
      const issue = { ...announcement, epoch: undefined, issuedAtMs: nowMs, flying: true }
      issues.add(issue)
      if (issues.size > most) collapseAll(nowMs)
      return issue
    },
    /** Those that `epoch` has not executed, in the order in which they were issued. */
    due: (epoch: string) => [...issues].filter((issue) => !issue.flying && issue.epoch !== epoch),
    /** Forgets what is old enough, and was executed. */
    prune(nowMs: number): void {
      for (const issue of issues) {
        if (nowMs - issue.issuedAtMs < keepMs) return
        if (issue.epoch !== undefined) issues.delete(issue)
      }
    },
  }
}

export type Ring = ReturnType<typeof createRing>
