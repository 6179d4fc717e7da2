import { randomFrom } from '@wattle/testkit'
import { describe, expect, test } from 'vitest'
import { createAim } from '../src/budget-aim.ts'

const budgetBytes = 10_000_000
const passMs = 5_000
const keyBytes = 1_000
const steps = 256
const aimedAt = 0.96 * budgetBytes
/** What comes in during a walk of the usual length, at 600 keys a second: a third of the budget. */
const perWalk = 600 * (passMs / 1_000) * keyBytes

/** A namespace of keys in as many places as a walk has steps. What comes in is cold, and so is what goes. */
function createNamespace(keys: number) {
  const random = randomFrom(1)
  const places = new Float64Array(steps).fill(keys / steps)
  let nowMs = 0
  const aim = createAim({ budgetBytes, now: () => nowMs })
  const bytes = () => keyBytes * places.reduce((sum, one) => sum + one, 0)
  return {
    aim,
    bytes,
    sleep: (ms: number) => void (nowMs += ms),
    /**
     * One walk, while `perSecond` keys come in, and which was expected to be `longer` times as long. Least and most of the
     * namespace during it.
     */
    walk(perSecond: number, ms = aim.paceMs(passMs), longer = 1) {
      const seen = { ms, least: Infinity, most: 0 }
      let left = 0
      let removed = 0
      aim.begin(ms)
      for (let step = 0; step < steps; step++) {
        const done = (step + 1) / steps / longer
        const { level, share } = aim.thresholdUntil(done)
        const here = places[step] ?? 0
        const gone = level < 0 ? 0 : level > 0 ? here : Math.round(here * share)
        places[step] = here - gone
        removed += gone
        aim.saw({ keys: here - gone, removed: gone, removedBytes: gone * keyBytes }, done)
        left += here - gone
        nowMs += ms / steps
        const came = (perSecond * ms) / steps / 1_000
        for (let key = 0; key < Math.round(came); key++) {
          const at = random.below(steps)
          places[at] = (places[at] ?? 0) + 1
        }
        seen.least = Math.min(seen.least, bytes())
        seen.most = Math.max(seen.most, bytes())
      }
      const byLevel = Float64Array.of(left * keyBytes)
      aim.end({ keys: left, bytes: left * keyBytes, byLevel, removed, steps })
      return seen
    },
  }
}

describe('C20 budget: how much goes', () => {
  test('while a third of the budget comes in during each walk, the usage stays level', () => {
    const namespace = createNamespace(9_000)
    for (let walk = 0; walk < 6; walk++) namespace.walk(600)
    for (let walk = 0; walk < 10; walk++) {
      const { least, most } = namespace.walk(600)
      expect(least).toBeGreaterThan(0.95 * aimedAt)
      expect(most).toBeLessThan(1.05 * aimedAt)
    }
  })

  test('what goes too much when a burst ends is less than half of what came in during a walk', () => {
    const namespace = createNamespace(9_000)
    for (let walk = 0; walk < 6; walk++) namespace.walk(600)
    for (let walk = 0; walk < 4; walk++) namespace.walk(0)
    expect(namespace.bytes()).toBeGreaterThan(aimedAt - perWalk / 2)
  })

  test('a burst that begins is met within two walks', () => {
    const namespace = createNamespace(9_500)
    for (let walk = 0; walk < 4; walk++) namespace.walk(0)
    namespace.walk(600)
    namespace.walk(600)
    expect(namespace.walk(600).most).toBeLessThan(1.1 * budgetBytes)
  })

  test('with much room a walk takes longer, and with little as long as it was told', () => {
    const namespace = createNamespace(1_000)
    for (let walk = 0; walk < 4; walk++) namespace.walk(10)
    expect(namespace.walk(10).ms).toBe(3 * passMs)
    for (let walk = 0; walk < 40; walk++) namespace.walk(600)
    expect(namespace.walk(600).ms).toBe(passMs)
  })

  test('nor does more go too much after an interruption', () => {
    const namespace = createNamespace(9_000)
    for (let walk = 0; walk < 6; walk++) namespace.walk(600)
    // An hour without a key, in which nobody looked.
    namespace.sleep(3_600_000)
    namespace.walk(0)
    expect(namespace.bytes()).toBeGreaterThan(aimedAt - perWalk / 2)
  })

  test('a walk that turns out to be shorter than the last one removes no more for it', () => {
    const namespace = createNamespace(9_000)
    for (let walk = 0; walk < 6; walk++) namespace.walk(100)
    // As when a neighbour lost its keys, and the table of the server shrank to a quarter.
    namespace.walk(100, passMs, 4)
    namespace.walk(100)
    expect(namespace.bytes()).toBeGreaterThan(0.9 * aimedAt)
  })

  test('a walk that takes no time cuts to what is aimed at', () => {
    const namespace = createNamespace(12_000)
    for (let walk = 0; walk < 3; walk++) namespace.walk(0, 0)
    expect(Math.abs(namespace.bytes() - aimedAt)).toBeLessThan(aimedAt / 20)
  })
})
