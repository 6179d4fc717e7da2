import { startRedis } from '@wattle/testkit'
import type { Row } from '../harness/row.ts'
import { runAlone, suiteOptions, type SuiteOptions } from '../harness/suite.ts'
import { coldKey, failingLoader } from './cache/crowds.ts'
import { commandsPerHit, propagation, tagOfMany } from './cache/invalidations.ts'
import { hitRatios, weight } from './cache/memory.ts'
import { l1Hits, l2Hits, manyHits, misses } from './cache/reads.ts'

/**
 * Ours beside bentocache, cacheable, cache-manager, @unkey/cache, async-cache-dedupe and layered-loader, and above the
 * floors that nobody can fall below: lru-cache in the process, ioredis on the wire. Everybody does the same work on the
 * same Redis; each cache is in a process of its own.
 */
export async function cache(options: SuiteOptions = suiteOptions({})): Promise<Row[]> {
  await using redis = await startRedis({ maxMemory: '8gb' })
  const bench = { redis, options }
  const rows: Row[] = []
  for (const scenario of scenarios) rows.push(...(await scenario(bench)))
  return rows
}

const scenarios = [
  l1Hits,
  l2Hits,
  manyHits,
  misses,
  coldKey,
  failingLoader,
  tagOfMany,
  commandsPerHit,
  propagation,
  weight,
  hitRatios,
]

await runAlone(import.meta, 'cache', cache)
