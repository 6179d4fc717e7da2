import { adaptedMs } from '../../../packages/cache/src/adaptive.ts'
import { randomFrom } from '../../../packages/testkit/src/random.ts'
import { recorded } from '../harness/references.ts'

/**
 * What adaptive TTLs save, and what they cost in staleness: a recorded sequence of reads is played against the rule of
 * the cache (`adaptedMs`, refresh-ahead from 80 % of the TTL, jitter), and against fixed TTLs.
 *
 *     node infra/bench/suites/adaptive-ttl.ts --trace <path of a .lis or .lis.zst file>
 *
 * Reads come from the trace, an hour's worth, spread evenly; changes are made up, the same for every variant: 80 % of
 * pages never change, 15 % every 30 minutes and 5 % every minute on average. Nine in ten of the changes are announced by
 * an invalidation; the tenth is made behind the cache's back, and is what a TTL is for.
 */

const hourMs = 3_600_000
const refreshShare = 0.8
const jitter = 0.1
const announced = 0.9
const base = 60_000
const bounds = { minMs: 15_000, maxMs: 600_000 }
const seed = 1

type Rule = (previousMs: number, isSame: boolean) => number
type Variant = { name: string; firstMs: number; longestMs: number; graceMs: number; rule: Rule }

const fixed = (name: string, ms: number): Variant => ({
  name,
  firstMs: ms,
  longestMs: ms,
  graceMs: 0,
  rule: () => ms,
})
const adaptive = (name: string, graceMs: number): Variant => ({
  name,
  firstMs: base,
  longestMs: bounds.maxMs,
  graceMs,
  rule: (previousMs, isSame) => adaptedMs(previousMs, isSame, bounds),
})
const variants: Variant[] = [
  fixed('fixed 15 s', bounds.minMs),
  fixed('fixed 60 s', base),
  adaptive('adaptive 60 s, 15 s to 10 min', 0),
  adaptive('the same, with a grace of 10 min', 600_000),
  fixed('fixed 10 min', bounds.maxMs),
]

/** A page as the source has it, and the entry that the cache has of it. */
type Page = {
  meanMs: number
  nextChangeMs: number
  version: number
  loadedMs: number
  softMs: number
  loadedVersion: number
  /** When the value in the cache ceased to be right without a word; Infinity while it is. */
  wrongSinceMs: number
}

function play(reads: Int32Array, { firstMs, longestMs, graceMs, rule }: Variant) {
  const random = randomFrom(seed)
  const pages = new Map<number, Page>()
  const seen = { loads: 0, stale: 0, longestStaleMs: 0 }
  const shortened = (ms: number) => ms * (1 - jitter * random.next())

  // A page has random numbers of its own, so that its changes are the same whatever the cache does.
  const changes = new Map<number, ReturnType<typeof randomFrom>>()
  function pageOf(name: number): Page {
    let page = pages.get(name)
    if (page) return page
    const own = randomFrom(name + 1)
    changes.set(name, own)
    const kind = own.next()
    const meanMs = kind < 0.8 ? Infinity : kind < 0.95 ? hourMs / 2 : 60_000
    page = {
      meanMs,
      nextChangeMs: after(0, meanMs, own),
      version: 0,
      loadedMs: 0,
      softMs: 0,
      loadedVersion: -1,
      wrongSinceMs: Infinity,
    }
    pages.set(name, page)
    return page
  }

  function load(page: Page, nowMs: number, softMs: number): void {
    seen.loads++
    page.softMs = shortened(softMs)
    page.loadedMs = nowMs
    page.loadedVersion = page.version
    page.wrongSinceMs = Infinity
  }

  for (const [at, name] of reads.entries()) {
    const nowMs = (at / reads.length) * hourMs
    const page = pageOf(name)
    const own = changes.get(name)
    while (own && page.nextChangeMs <= nowMs) {
      page.version++
      if (own.next() < announced) page.loadedVersion = -1
      else page.wrongSinceMs = Math.min(page.wrongSinceMs, page.nextChangeMs)
      page.nextChangeMs = after(page.nextChangeMs, page.meanMs, own)
    }
    const ageMs = nowMs - page.loadedMs
    if (page.loadedVersion < 0 || ageMs >= page.softMs + graceMs) {
      load(page, nowMs, firstMs)
      continue
    }
    if (ageMs >= page.softMs) {
      // The reader waits for the load; the grace only keeps the predecessor.
      load(page, nowMs, rule(page.softMs, page.version === page.loadedVersion))
      continue
    }
    const staleMs = nowMs - page.wrongSinceMs
    if (staleMs > 0) {
      seen.stale++
      seen.longestStaleMs = Math.max(seen.longestStaleMs, staleMs)
    }
    if (ageMs >= page.softMs * refreshShare) {
      load(page, nowMs, rule(page.softMs, page.version === page.loadedVersion))
    }
  }
  if (seen.longestStaleMs > longestMs) {
    throw new Error(`a value was ${seen.longestStaleMs} ms old, beyond the bound of ${longestMs}`)
  }
  return seen
}

const after = (ms: number, meanMs: number, { next }: ReturnType<typeof randomFrom>) =>
  meanMs === Infinity ? Infinity : ms - Math.log(1 - next()) * meanMs

/** Rows of a report: loads, stale reads and the longest staleness of each variant. Nothing without a trace. */
export async function adaptiveTtl({ trace }: { trace?: string | undefined } = {}) {
  if (trace === undefined) return []
  const reads = recorded(trace)
  return variants.flatMap((variant) => {
    const { loads, stale, longestStaleMs } = play(reads, variant)
    const row = (group: string, unit: string, value: number) => ({
      group,
      variant: variant.name,
      ours: variant.rule.length > 0,
      unit,
      value,
      spread: [value, value] as const,
    })
    return [
      row('loads', 'loads', loads),
      row('reads of a value that was changed behind the back', '‰', (1_000 * stale) / reads.length),
      row('the longest such staleness', 's', longestStaleMs / 1_000),
    ]
  })
}
export { adaptiveTtl as 'adaptive-ttl' }

if (import.meta.main) {
  const [flag, trace] = process.argv.slice(2)
  if (flag !== '--trace' || trace === undefined) {
    console.error('Give a recorded trace: --trace <path of a .lis or .lis.zst file>.')
    process.exit(2)
  }
  console.table(
    (await adaptiveTtl({ trace })).map(({ group, variant, unit, value }) => ({
      group,
      variant,
      value: Math.round(value * 100) / 100,
      unit,
    })),
  )
}
