/** The longest time that a timer of Node can wait. */
export const longestTimerMs = 2 ** 31 - 1

/** The number, where it is a whole one within these bounds. Throws a RangeError that names the option. */
export function wholeNumber(
  option: string,
  value: number,
  least: number,
  most = Number.MAX_SAFE_INTEGER,
): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  const bounds = most === Number.MAX_SAFE_INTEGER ? `${least} on` : `${least} to ${most}`
  throw new RangeError(`${option} is ${String(value)}: give a whole number from ${bounds}`)
}

/** The number, where it is one above 0. Throws a RangeError that names the option. */
export function numberAboveZero(option: string, value: number, unit = ''): number {
  if (Number.isFinite(value) && value > 0) return value
  throw new RangeError(`${option} is ${String(value)}: give a number${unit} above 0`)
}
