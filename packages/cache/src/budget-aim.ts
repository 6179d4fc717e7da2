import { nothingGoes, thresholdFor, type Threshold, type Weight } from './budget-pass.ts'

/*
 * How much of a namespace goes while a walk comes past.
 *
 * A walk removes what it is going to find above the aim: what the last one left, and what has come since. That is foreseen
 * from what came before. A walk sees the keys in an order that says nothing about them, so what it has seen so far is a
 * sample of all: where it finds less than was foreseen, since a burst has ended, it removes less, and where it finds more,
 * more; but no more than if twice as much came as was foreseen. For the sample is scaled by the length of the last walk, and
 * this one is shorter when the server's table has shrunk.
 *
 * A part that was visited grows until the next visit, while the others are cut. When each is left half of a walk's inflow
 * below the aim, the whole stays level at it. What is removed never runs ahead of the walk, so it is spread over all of
 * it, as what comes in is. The threshold of warmth comes from what the last walk left at each level.
 */

/** What a step of a walk left and removed. */
export type Step = { keys: number; removed: number; removedBytes: number }

/** Of the budget: the rest is for what cannot be foreseen. */
const aim = 0.96
const slowest = 3
/** From this share of a walk on, what was seen counts alone. */
const telling = 0.25

/** Keys that a walk left, how many came since the one before, and when: its middle, and how long it took. */
type Walk = { weight: Weight; came: number; gapMs: number; middleMs: number; lengthMs: number }

export function createAim({ budgetBytes, now }: { budgetBytes: number; now: () => number }) {
  let last: Walk | undefined
  /** The walk under way: when it began, how long it is to take, how far it is, and what it has seen. */
  let present = { startedMs: 0, ms: 0, share: 0, found: 0, removed: 0, removedBytes: 0 }

  const bytesPerKey = () =>
    last && last.weight.keys > 0 ? last.weight.bytes / last.weight.keys : 0
  const perMs = () => (last ? Math.max(0, last.came) / last.gapMs : 0)

  /** Keys that the whole walk is going to find. */
  function toBeFound({ weight: { keys }, lengthMs, gapMs }: Walk): number {
    const { ms, share, found } = present
    const comes = perMs() * (ms === 0 ? gapMs : (lengthMs + ms) / 2)
    if (share === 0) return keys + comes
    const seen = Math.min(2 * comes, Math.max(0, found / share - keys))
    const trust = Math.min(1, share / telling)
    return keys + trust * seen + (1 - trust) * comes
  }

  /** Bytes that the whole walk is to remove. */
  function excess(walk: Walk): number {
    const found = toBeFound(walk)
    const { ms } = present
    const gapMs = ms === 0 ? walk.gapMs : (walk.lengthMs + ms) / 2
    const comes = Math.max(0, found - walk.weight.keys) * Math.min(1, ms / gapMs)
    const mayStay = aim * budgetBytes - (comes / 2) * bytesPerKey()
    return Math.max(0, found * bytesPerKey() - Math.max(0, mayStay))
  }

  return {
    /** A walk begins, to take `ms`; 0 for one that takes no time. */
    begin(ms: number): void {
      present = { startedMs: now(), ms, share: 0, found: 0, removed: 0, removedBytes: 0 }
    },
    /** What is to go in the next step, after which this share of the walk is done, 0 to 1. */
    thresholdUntil(share: number): Threshold {
      if (!last) return nothingGoes
      const goal = excess(last)
      return present.removedBytes < goal * share
        ? thresholdFor(last.weight.byLevel, goal)
        : nothingGoes
    },
    /** The step came to its end. */
    saw({ keys, removed, removedBytes }: Step, share: number): void {
      present.share = share
      present.found += keys + removed
      present.removed += removed
      present.removedBytes += removedBytes
    },
    /** The walk came to its end, and this is what it left. */
    end(weight: Weight): void {
      const lengthMs = now() - present.startedMs
      const middleMs = now() - lengthMs / 2
      const came = last ? weight.keys + present.removed - last.weight.keys : 0
      const gapMs = last ? Math.max(1, middleMs - last.middleMs) : 1
      last = { weight, came, gapMs, middleMs, lengthMs }
    },
    /** Bytes at the end of the last walk: what it left, and what came in behind it. */
    bytes: (): number =>
      last ? last.weight.bytes + perMs() * (last.lengthMs / 2) * bytesPerKey() : 0,
    /** How long the next walk may take: longer than `passMs` while what comes in takes long to fill the room that is left. */
    paceMs(passMs: number): number {
      if (!last || last.gapMs === 1) return passMs
      const room = Math.max(0, aim * budgetBytes - this.bytes())
      const fillsInMs = room / Math.max(1e-9, perMs() * bytesPerKey())
      return Math.min(slowest * passMs, Math.max(passMs, fillsInMs / 3))
    },
    /** What was known is of no use after another process has looked after the budget. */
    forget(): void {
      last = undefined
    },
  }
}

export type Aim = ReturnType<typeof createAim>
