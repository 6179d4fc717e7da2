import type { Decision, LevelState, Receipt } from './limit.ts'
import type { LocalVerdict } from './local.ts'
import type { Resolved } from './levels.ts'
import { valuesPerLevel } from './decider.ts'

type Values = { remaining: number; resetMs: number; waitMs: number }

/** The decision of a call from what each of its levels said. */
function combine(
  { names, rows }: Resolved,
  allowed: boolean,
  decidedBy: Decision['decidedBy'],
  values: (level: number) => Values,
  receipt: Receipt | undefined,
): Decision {
  const levels: LevelState[] = []
  let telling = 0
  let tellingValues = values(0)
  let waitMs = 0
  for (let n = 0; n < names.length; n++) {
    const present = n === 0 ? tellingValues : values(n)
    const { limit, windowMs } = (rows[n] as Resolved['rows'][number]).policy
    const { remaining, resetMs } = present
    levels.push({ level: names[n] as string, limit, windowMs, remaining, resetMs })
    waitMs = Math.max(waitMs, present.waitMs)
    const tellsMore = allowed
      ? remaining < tellingValues.remaining
      : present.waitMs > tellingValues.waitMs
    if (tellsMore) {
      telling = n
      tellingValues = present
    }
  }
  const { level, limit, remaining, resetMs } = levels[telling] as LevelState
  return {
    allowed,
    level,
    limit,
    remaining,
    retryAfterMs: allowed ? 0 : waitMs,
    resetMs,
    waitMs: allowed ? waitMs : 0,
    decidedBy,
    levels,
    receipt,
  }
}

/** From the reply of `decide.lua`. Milliseconds are rounded up: who waits as told is not early. */
export function decisionOfReply(
  resolved: Resolved,
  reply: readonly number[],
  at: number,
  cost: number,
): Decision {
  const allowed = reply[at] === 1
  const { keys, rows } = resolved
  const receipt: Receipt | undefined =
    allowed && cost > 0
      ? { keys, rows, cost, atUs: reply[0] as number, by: 'redis', refunded: false }
      : undefined
  const values = (level: number): Values => {
    const from = at + 1 + valuesPerLevel * level
    return {
      remaining: reply[from] as number,
      resetMs: Math.ceil((reply[from + 1] as number) / 1000),
      waitMs: Math.ceil((reply[from + 2] as number) / 1000),
    }
  }
  return combine(resolved, allowed, 'redis', values, receipt)
}

/** From what this process decided by itself. */
export function decisionOfLocal(
  resolved: Resolved,
  verdict: LocalVerdict,
  cost: number,
  atMs: number,
): Decision {
  const { keys, rows } = resolved
  const receipt: Receipt | undefined =
    verdict.allowed && cost > 0
      ? { keys, rows, cost, atUs: atMs * 1000, by: 'local', refunded: false }
      : undefined
  const values = (level: number): Values => {
    const { remaining, resetMs, waitMs } = verdict.levels[level] as LocalVerdict['levels'][number]
    return { remaining, resetMs: Math.ceil(resetMs), waitMs: Math.ceil(waitMs) }
  }
  return combine(resolved, verdict.allowed, 'local', values, receipt)
}

const unavailableRetryMs = 1_000

/** Of a limit that is closed without Redis. */
export function decisionOfNobody(resolved: Resolved): Decision {
  const values = () => ({ remaining: 0, resetMs: unavailableRetryMs, waitMs: unavailableRetryMs })
  return combine(resolved, false, 'nobody', values, undefined)
}

/** Where no level applies. */
export const unlimited: Decision = Object.freeze({
  allowed: true,
  level: '',
  limit: Infinity,
  remaining: Infinity,
  retryAfterMs: 0,
  resetMs: 0,
  waitMs: 0,
  decidedBy: 'local',
  levels: [],
  receipt: undefined,
})
