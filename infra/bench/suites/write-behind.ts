import { startDatabase, startRedis, startSentinelGroup } from '@wattle/testkit'
import { isolate } from '../harness/isolated.ts'
import { sideBySide, type Took, type Variant } from '../harness/measure.ts'
import type { Row } from '../harness/row.ts'
import { isWanted, runAlone, suiteOptions, type SuiteOptions } from '../harness/suite.ts'
import type { Meters, MetersSetting, Way } from './write-behind/meters-process.ts'

/**
 * What it costs to change a value: by write-behind, by an update of PostgreSQL that the cache follows, in the cache alone,
 * and by a plain SET. Each in a process of its own, which for write-behind is also the writer. `state` is a Sentinel group
 * with two replicas. What waits is written out before another's turn.
 */

const file = new URL('write-behind/meters-process.ts', import.meta.url)
/** Ways to change a value, and what they are called in the report. */
type Named = Partial<Record<Way, string>>
const kept: Named = {
  update: 'kind.update through PostgreSQL',
  put: 'put, replicas: 0',
  'put, replicas: 1': 'put, replicas: 1',
}
const all: Named = { SET: 'SET, ioredis', 'kind.set': 'kind.set, the cache alone', ...kept }
const loaded: Named = { 'kind.set': 'without write-behind', put: 'with write-behind' }

type Urls = Omit<MetersSetting, 'way'>
type Run = (meters: { [M in 'change' | 'load']: Meters[M] }, times: number) => Promise<Took>

async function writeBehind(options: SuiteOptions = suiteOptions({})): Promise<Row[]> {
  await using cache = await startRedis({ maxMemory: '1gb' })
  await using state = await startSentinelGroup({ group: 'state', maxMemory: '1gb' })
  await using database = await startDatabase({ service: 'meters' })
  await database.query(
    `create table meter (id text primary key, amount bigint not null, note text not null, version bigint not null);
     grant all on all tables in schema public to meters`,
  )
  const urls = { cacheUrl: cache.url, stateUrl: state.url, databaseUrl: database.url }
  const compare = async (
    group: string,
    named: Named,
    floor: Way,
    run: Run,
    batchMs = options.batchMs,
  ) => {
    if (!isWanted(options, group)) return []
    const ways = Object.entries(named) as [Way, string][]
    const variants = ways.map(([way, name]) => variantOf(way, name, urls, run))
    return sideBySide({ ...options, batchMs, group, variants, floor: named[floor] ?? '' })
  }
  const rows: Row[] = []
  for (const atOnce of [1, 32]) {
    const change: Run = (meters, times) => meters.change(times, atOnce, false)
    rows.push(...(await compare(`changed, ${atOnce} at once`, all, 'update', change)))
  }
  const whole: Run = (meters, times) => meters.change(times, 32, true)
  // Long enough that the last half second, in which the writer gathers, is a small part.
  const group = 'changed and in PostgreSQL, 32 at once'
  rows.push(...(await compare(group, kept, 'update', whole, 12 * options.batchMs)))
  for (const atOnce of [1, 32]) {
    const load: Run = (meters, times) => meters.load(times, atOnce)
    rows.push(...(await compare(`a load, ${atOnce} at once`, loaded, 'kind.set', load)))
  }
  return rows
}

function variantOf(way: Way, name: string, urls: Urls, run: Run): Variant {
  return {
    name,
    ours: way !== 'SET',
    async start() {
      const meters = await isolate<Meters>(file, { way, ...urls } satisfies MetersSetting)
      return (
        meters && {
          run: (times) => run(meters, times),
          async stop() {
            await meters.close().catch(() => {})
            await meters.end()
          },
        }
      )
    },
  }
}

export { writeBehind as 'write-behind' }

await runAlone(import.meta, 'write-behind', writeBehind)
