/**
 * A share of a limit that follows load, by additive increase and multiplicative decrease (as TCP does): while
 * `overloaded()` says yes it is multiplied by `decrease` once each `everyMs`, else it grows by `increase`, between
 * `least` and 1. Give it to a level as `scale`. Each process follows its own load. No timer: time is seen at each call.
 */
export function adaptive({
  overloaded,
  least = 0.1,
  increase = 0.05,
  decrease = 0.5,
  everyMs = 1_000,
  now = () => performance.now(),
}: {
  /** The load signal, such as `() => eventLoopDelayMs() > 100`. */
  readonly overloaded: () => boolean
  readonly least?: number
  readonly increase?: number
  readonly decrease?: number
  readonly everyMs?: number
  readonly now?: () => number
}): () => number {
  let share = 1
  let lookedAtMs = now()
  return () => {
    const intervals = Math.floor((now() - lookedAtMs) / everyMs)
    if (intervals < 1) return share
    lookedAtMs += intervals * everyMs
    // Of the intervals in which nobody asked only the calm ones count: load that nobody saw cannot be said to have lasted.
    share = overloaded()
      ? Math.max(least, share * decrease)
      : Math.min(1, share + increase * intervals)
    return share
  }
}
