import type { Origin } from './origin.ts'
import type { SessionRules, Sign } from './rules.ts'
import type { SessionRow } from './store.ts'

/** How a session was used since its last long pause. */
export type Waking = { readonly wokeAtMs: number | undefined; readonly usesSinceWaking: number }

/** Counts this refresh: a long pause begins the count, and the count ends with the time that is watched. */
export function wakingOf(row: SessionRow, rules: SessionRules, nowMs: number): Waking {
  if (nowMs - row.lastSeenAtMs > rules.pauseMs) return { wokeAtMs: nowMs, usesSinceWaking: 1 }
  const { wokeAtMs } = row
  if (wokeAtMs === undefined || nowMs - wokeAtMs > rules.busyWithinMs) {
    return { wokeAtMs: undefined, usesSinceWaking: 0 }
  }
  return { wokeAtMs, usesSinceWaking: row.usesSinceWaking + 1 }
}

/** Signs that somebody else may use this session now than before. */
export function signsOf(
  row: SessionRow,
  origin: Origin,
  { usesSinceWaking }: Waking,
  rules: SessionRules,
): Sign[] {
  const signs: Sign[] = []
  const bothKnown = row.country !== null && origin.country !== null
  if (bothKnown && row.country !== origin.country) signs.push('country_changed')
  if (row.device !== origin.device) signs.push('device_changed')
  if (row.network !== origin.network) signs.push('network_changed')
  if (usesSinceWaking > rules.busyRefreshes) signs.push('idle_then_busy')
  return signs
}
