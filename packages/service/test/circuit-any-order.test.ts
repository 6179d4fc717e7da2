import { fakeClock } from '@wattle/testkit'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCircuit, defaultRules, type EndCall } from '../src/circuit.ts'

const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant('enter' as const) },
  {
    weight: 3,
    arbitrary: fc.record({
      end: fc.nat(),
      with: fc.constantFrom('succeeded', 'failed', 'unknown'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ passMs: fc.integer({ min: 1, max: 6_000 }) }) },
)

/** What single steps would rarely come to: failures enough to open it, and more callers than there are probes. */
const crowd = fc.constantFrom('outage' as const, 'rush' as const)

// fast-check prints the seed and the smallest failing sequence.
test('L6 whatever the order of calls, ends and time: bounds hold, and a service that is well is reached again', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 4, arbitrary: step }, { weight: 1, arbitrary: crowd }), {
        maxLength: 200,
      }),
      (steps) => {
        const clock = fakeClock()
        let era = 0
        let probes = 0
        const circuit = createCircuit({
          now: clock.now,
          random: () => 1,
          onChange() {
            era++
            probes = 0
          },
        })
        const underWay: EndCall[] = []
        const enter = () => {
          const before = circuit.state
          const end = circuit.enter()
          if (before === 'open') expect(end).toBeUndefined()
          if (end === undefined) return
          if (before === 'half-open') probes++
          const ofEra = era
          // Whoever left without a verdict gave its place away.
          underWay.push((outcome) => {
            if (outcome === 'unknown' && ofEra === era) probes = Math.max(0, probes - 1)
            end(outcome)
          })
          if (circuit.state === 'half-open') expect(probes).toBeLessThanOrEqual(defaultRules.probes)
        }
        for (const one of steps) {
          if (one === 'enter') enter()
          else if (one === 'rush') for (let n = 0; n < 10; n++) enter()
          else if (one === 'outage') for (let n = 0; n < 10; n++) circuit.enter()?.('failed')
          else if ('passMs' in one) clock.advance(one.passMs)
          else underWay.splice(one.end % Math.max(1, underWay.length), 1)[0]?.(one.with)
        }

        for (const end of underWay.splice(0)) end('unknown')
        clock.advance(defaultRules.maxOpenMs)
        for (let n = 0; n < defaultRules.probes; n++) circuit.enter()?.('succeeded')
        expect(circuit.state).toBe('closed')
        clock.advance(defaultRules.windowMs)
        for (let n = 0; n < 500; n++) expect(circuit.enter()).toBeDefined()
      },
    ),
    { numRuns: 1_000 },
  )
})
