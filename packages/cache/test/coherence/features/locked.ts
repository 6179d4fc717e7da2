import type { Locks, SqlQuery } from '../../../src/index.ts'
import { clockMs } from '../clock.ts'
import { type Value } from '../plan.ts'
import { FenceError } from '../source.ts'
import type { Hold } from './facts.ts'
import { fence } from './source-books.ts'

/** Writes under a lock, in the way that `docs/locks.md` asks for: the source is shown the token, and refuses smaller ones. */
export function openLocked({
  locks,
  process,
  query,
  pause,
  note,
}: {
  locks: Locks
  process: number
  query: SqlQuery
  /** Between the steps of the work; sometimes longer than the lock lives without being extended. */
  pause: () => Promise<unknown>
  note: (hold: Hold) => void
}) {
  let count = 0
  /** What `commit` resolves to, also when the lock was lost on the way; undefined when the source refused the token. */
  return async function writeLocked(
    row: number,
    commit: (token: number) => Promise<Value>,
  ): Promise<Value | undefined> {
    const fromMs = clockMs()
    const holder = `${process}.${count++}`
    let hold: Hold | undefined
    let value: Value | undefined
    const work = async ({ token }: { token: number }): Promise<void> => {
      const acquiredMs = clockMs()
      hold = { process, row, token, fromMs, acquiredMs, endedMs: 0, kept: false, refused: false }
      try {
        const shown = { row, token, holder }
        hold.refused = !(await fence(query, shown))
        await pause()
        hold.refused ||= !(await fence(query, shown))
        if (!hold.refused) value = await commit(token)
      } catch (cause) {
        if (!(cause instanceof FenceError)) throw cause
        hold.refused = true
      } finally {
        hold.endedMs = clockMs()
      }
    }
    try {
      await locks.withLock(['row', row], { ttl: '300ms', wait: '500ms' }, work)
      if (hold) hold.kept = true
    } catch (cause) {
      // What was committed has to be invalidated all the same.
      if ((cause as Error).name !== 'LockLostError') throw cause
    }
    if (hold) note(hold)
    return value
  }
}
