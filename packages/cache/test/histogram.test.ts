import { Histogram, Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import { SeriesHistogram } from '../src/histogram.ts'

const buckets = [0.001, 0.01, 0.1]
const values = [0, 0.0005, 0.001, 0.0011, 0.01, 0.05, 0.1, 0.2, 7]
const kinds = ['bill', 'a "quoted" one']

/** The same observations in a histogram of prom-client and in ours, each in a registry of its own. */
function observed() {
  const options = { name: 'load_seconds', help: 'Time', labelNames: ['kind'], buckets }
  const theirs = new Registry()
  const ours = new Registry()
  const histogram = new Histogram({ ...options, registers: [theirs] })
  const own = new SeriesHistogram({ ...options, registers: [ours] })
  for (const kind of kinds) {
    const series = own.series({ kind })
    for (const value of values) {
      histogram.observe({ kind }, value)
      series.observe(value)
    }
  }
  return { theirs, ours }
}

describe('C19 a histogram that is cheap to add to', () => {
  test('shows Prometheus what one of prom-client shows', async () => {
    const { theirs, ours } = observed()
    expect(await ours.metrics()).toBe(await theirs.metrics())
    expect(await ours.metrics()).toContain('load_seconds_bucket{le="+Inf",kind="bill"} 9')
    for (const registry of [theirs, ours]) registry.setDefaultLabels({ host: 'a' })
    const labelled = (await theirs.getMetricsAsJSON())[0]?.values.map(({ labels }) => labels)
    expect((await ours.getMetricsAsJSON())[0]?.values.map(({ labels }) => labels)).toEqual(labelled)
  })

  test('begins anew when the registry does', async () => {
    const { ours } = observed()
    ours.resetMetrics()
    expect(await ours.metrics()).toMatch(/load_seconds_sum\{kind="bill"\} 0\n/)
    expect(await ours.metrics()).toMatch(/load_seconds_count\{kind="bill"\} 0\n/)
    expect(await ours.metrics()).not.toMatch(/bucket.* [1-9]/)
  })
})
