const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** A length of time as a plan states it: `250ms`, `30s`, `10m`, `1h`, `7d`. */
export type Duration = `${number}${keyof typeof unitMs}`

const longestMs = 36_500 * unitMs.d

/** The milliseconds of a duration. Throws a RangeError that names the setting and the text when it is not one. */
export function durationMs(setting: string, text: Duration): number {
  const [, amount, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? []
  if (amount === undefined || unit === undefined || Number(amount) === 0) {
    throw new RangeError(
      `${setting} is "${text}", which is not a duration: write a whole number and ms, s, m, h or d, such as 10m`,
    )
  }
  const ms = Number(amount) * unitMs[unit as keyof typeof unitMs]
  if (ms > longestMs)
    throw new RangeError(`${setting} is "${text}": at most a hundred years are possible`)
  return ms
}
