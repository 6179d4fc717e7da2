/** A calendar day, `YYYY-MM-DD`. Days compare as texts. */
export type Day = string

const dayMs = 86_400_000
/** Nigeria keeps UTC+1 all year. */
const offsetMs = 3_600_000

/** The day that it is in Nigeria at this moment: a bill falls due at the end of a day there. */
export function dayAt(nowMs: number): Day {
  return new Date(nowMs + offsetMs).toISOString().slice(0, 10)
}

/** The moment at which this hour of the day begins in Nigeria, ISO 8601 in UTC. */
export function momentOf(day: Day, hour: number): string {
  return new Date(Date.parse(day) + hour * 3_600_000 - offsetMs).toISOString()
}

export function addDays(day: Day, days: number): Day {
  return new Date(Date.parse(day) + days * dayMs).toISOString().slice(0, 10)
}

/** The first day of the month that lies so many months before the month of `day`. */
export function monthBefore(day: Day, months: number): Day {
  const [year, month] = [Number(day.slice(0, 4)), Number(day.slice(5, 7))]
  return new Date(Date.UTC(year, month - 1 - months, 1)).toISOString().slice(0, 10)
}
