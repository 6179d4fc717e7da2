import type { TestRedis } from '@wattle/testkit'
import type { Policy } from '../../src/index.ts'
import { rowOf, type Step } from '../../src/row.ts'
import { decideScript } from '../../src/script.ts'

/** Added to every TTL: time that stands still for the script passes for Redis, which would forget too early. */
export const extraTtlMs = 3_600_000

/** The script as it is, but for the clock: its time comes with the call. */
const source = replaced(
  replaced(
    replaced(decideScript.source, '#ARGV', '#ARGV - 2'),
    "call('TIME')",
    '{ ARGV[#ARGV - 1], ARGV[#ARGV] }',
  ),
  /('PX', |'PEXPIRE', key, |format\('%d', )ceil/g,
  `$1${extraTtlMs} + ceil`,
)

function replaced(text: string, what: string | RegExp, by: string): string {
  const result = text.replace(what, by)
  if (result === text) throw new Error(`the script does not hold ${String(what)} any more`)
  return result
}

export type Verdict = {
  allowed: boolean
  remaining: number
  resetUs: number
  waitUs: number
}

/** Has a real Redis decide one call at one level, at a moment that the test chooses. */
export async function decideAt(
  redis: ReturnType<TestRedis['client']>,
  atUs: number,
  key: string,
  policy: Policy,
  step: Partial<Step> = {},
): Promise<Verdict> {
  const row = rowOf(policy, { need: 1, most: step.need ?? 1, ...step })
  const time = [Math.floor(atUs / 1e6), Math.round(atUs % 1e6)]
  const reply = await redis.eval(source, 1, key, '1', ...row.args, '-1', ...time)
  const [, allowed, remaining, resetUs, waitUs] = reply as number[]
  return {
    allowed: allowed === 1,
    remaining: remaining ?? NaN,
    resetUs: resetUs ?? NaN,
    waitUs: waitUs ?? NaN,
  }
}

/** 2026-11-25, on no round number. */
export const startUs = 1_795_600_000_123_457

let keys = 0
/** A key that no other case uses. */
export const freshKey = () => `test:limits:case@1:${++keys}`
