import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { startRedis } from '@wattle/testkit'
import { isolate, type Ending, type Isolated } from '../../harness/isolated.ts'
import { median, rowOf, type Row } from '../../harness/row.ts'
import { isWanted, type SuiteOptions } from '../../harness/suite.ts'
import type { Service, ServiceSetting } from './service-process.ts'

/**
 * Four services on one Redis, each in a process of its own with a budget that it keeps as it would in production: at the
 * default pace, by its own timers. Each reads four times as many keys as fit, by Zipf's law.
 */

const file = new URL('service-process.ts', import.meta.url)
const megabyte = 2 ** 20
const skew = 0.9
const readsPerSecond = 2_000

type Neighbour = {
  name: string
  prefix: string
  budgetBytes: number
  remote: Isolated<Service> & Ending
}

export async function sharedServer(options: SuiteOptions): Promise<Row[]> {
  const { quick, say, rounds } = options
  if (!isWanted(options, 'a shared server')) return []
  const budgets = (quick ? [16, 8, 4, 2] : [128, 64, 32, 16]).map((size) => size * megabyte)
  await using server = await startRedis({ maxMemory: '1gb' })
  const raw = server.client()
  const neighbours: Neighbour[] = []
  try {
    for (const budgetBytes of budgets) {
      const name = `${budgetBytes / megabyte} MB`
      const service = `budget-${budgetBytes / megabyte}`
      const setting: ServiceSetting = {
        url: server.url,
        service,
        budgetBytes,
        skew,
        readsPerSecond,
      }
      const remote = await isolate<Service>(file, setting)
      if (remote) neighbours.push({ name, prefix: `bench:${service}:`, budgetBytes, remote })
    }
    say('a shared server: filling')
    await Promise.all(neighbours.map(({ remote }) => remote.fill()))
    // Until each keeps level.
    await readAll(neighbours, quick ? 10_000 : 30_000)
    const rows = await underLoad(raw, neighbours, options)
    rows.push(...(await quietNeighbour(raw, neighbours, options)))
    const [largest] = neighbours
    if (largest) rows.push(...(await hotPath(largest, { rounds, say })))
    return rows
  } finally {
    await Promise.all(
      neighbours.map(async ({ remote }) => {
        await remote.close().catch(() => {})
        await remote.end()
      }),
    )
  }
}

const readAll = (neighbours: readonly Neighbour[], ms: number) =>
  Promise.all(neighbours.map(({ remote }) => remote.read(ms)))

/** Usage and hits over thirty seconds. */
async function underLoad(
  raw: Redis,
  neighbours: readonly Neighbour[],
  { quick, say }: SuiteOptions,
): Promise<Row[]> {
  say('a shared server: thirty seconds of reads')
  const usages = neighbours.map(() => [] as number[])
  const note = async () => {
    const found = await weighAll(raw, neighbours)
    for (const [at, { budgetBytes }] of neighbours.entries()) {
      usages[at]?.push((100 * (found[at]?.bytes ?? 0)) / budgetBytes)
    }
  }
  let isReading = true
  const reading = readAll(neighbours, quick ? 10_000 : 30_000).finally(() => (isReading = false))
  while (isReading) {
    await note()
    await Promise.race([reading, sleep(1_000)])
  }
  const seen = await reading
  await note()
  return neighbours.flatMap(({ name }, at) => {
    const { reads, hits, lruHits } = seen[at] ?? { reads: Number.NaN, hits: 0, lruHits: 0 }
    const group = `a shared server: ${name} and ${reads.toLocaleString('en-US')} reads`
    const share = (count: number) => [(100 * count) / reads]
    const usage = usages[at] ?? []
    return [
      rowOf({
        group,
        variant: 'usage of the budget, every key weighed',
        ours: true,
        unit: '%',
        rounds: usage,
        goal: { of: 'value', atLeast: 90, atMost: 110 },
        note: `${usage.at(-1)?.toFixed(1)} at the end`,
      }),
      rowOf({
        group,
        variant: 'hits',
        ours: true,
        unit: '%',
        rounds: share(hits),
        goal: { of: 'value', atLeast: (share(lruHits)[0] ?? 0) - 3 },
      }),
      rowOf({ group, variant: 'hits of an LRU', unit: '%', rounds: share(lruHits) }),
    ]
  })
}

/** One stops reading while the others go on: what it has stays. */
async function quietNeighbour(
  raw: Redis,
  neighbours: readonly Neighbour[],
  { say, quick }: SuiteOptions,
): Promise<Row[]> {
  say('a shared server: one is quiet')
  const quiet = neighbours[2]
  if (!quiet) return []
  const others = neighbours.filter((one) => one !== quiet)
  const entriesOf = async () => (await weighAll(raw, [quiet]))[0]?.keys ?? Number.NaN
  // What its own budget asks for after its last reads is done by then.
  await readAll(others, quick ? 15_000 : 40_000)
  const removedOf = async (list: readonly Neighbour[]) =>
    (await Promise.all(list.map(({ remote }) => remote.removed()))).reduce((sum, n) => sum + n, 0)
  const [before, own, evicted] = [
    await entriesOf(),
    await removedOf([quiet]),
    await removedOf(others),
  ]
  await readAll(others, quick ? 10_000 : 30_000)
  const lost = before - (await entriesOf())
  const note = `of ${before}, while ${(await removedOf(others)) - evicted} entries of its neighbours went, and ${(await removedOf([quiet])) - own} to its own budget`
  return [
    rowOf({
      group: 'a shared server: a neighbour that reads nothing',
      variant: `entries lost by ${quiet.name}`,
      ours: true,
      unit: 'entries',
      rounds: [lost],
      goal: { of: 'value', atMost: 0 },
      note,
    }),
  ]
}

/** Hits of Redis with and without the budget being kept, by turns, in the process that keeps it. */
async function hotPath(
  { name, remote }: Neighbour,
  { rounds, say }: Pick<SuiteOptions, 'rounds' | 'say'>,
): Promise<Row[]> {
  say('a shared server: the price of a read')
  const took = { with: [] as Took[], without: [] as Took[] }
  await remote.hits(2_000)
  for (let round = 0; round < rounds; round++) {
    for (const which of round % 2 === 0
      ? (['with', 'without'] as const)
      : (['without', 'with'] as const)) {
      await remote.keep(which === 'with')
      took[which].push(await remote.hits(3_000))
    }
  }
  await remote.keep(true)
  const rows = (figure: keyof Took, what: string, unit: string) => {
    const [kept, free] = [took.with, took.without].map((all) => all.map((one) => one[figure]))
    const ratios = kept?.map((one, round) => one / (free?.[round] ?? Number.NaN)) ?? []
    const group = `a shared server: a hit in Redis, ${what}`
    return [
      rowOf({ group, variant: 'without a budget', unit, rounds: free ?? [], ratio: 1 }),
      rowOf({
        group,
        variant: `budget of ${name} kept`,
        ours: true,
        unit,
        rounds: kept ?? [],
        ratio: median(ratios),
      }),
    ]
  }
  return [
    ...rows('medianUs', 'median', 'µs'),
    ...rows('p99Us', '99th percentile', 'µs'),
    ...rows('cpuUs', 'processor', 'µs of CPU'),
  ]
}

type Took = Awaited<ReturnType<Service['hits']>>

/** A part of the keys of a server: for each prefix how many there are, and the sum of their `MEMORY USAGE`. */
const weighScript = `
  local reply = redis.call('SCAN', ARGV[1], 'COUNT', 500)
  local result = { reply[1] }
  for i = 2, #ARGV do
    local keys, bytes = 0, 0
    for _, key in ipairs(reply[2]) do
      if string.sub(key, 1, #ARGV[i]) == ARGV[i] then
        keys = keys + 1
        bytes = bytes + (redis.call('MEMORY', 'USAGE', key, 'SAMPLES', 0) or 0)
      end
    end
    result[#result + 1] = keys
    result[#result + 1] = bytes
  end
  return result`

/** Every key of each namespace, none of them estimated. */
async function weighAll(raw: Redis, neighbours: readonly Neighbour[]) {
  const prefixes = neighbours.map(({ prefix }) => prefix)
  const found = neighbours.map(() => ({ keys: 0, bytes: 0 }))
  let cursor = '0'
  do {
    const reply = (await raw.eval(weighScript, 0, cursor, ...prefixes)) as (string | number)[]
    for (const [at, one] of found.entries()) {
      one.keys += Number(reply[1 + 2 * at])
      one.bytes += Number(reply[2 + 2 * at])
    }
    cursor = String(reply[0])
  } while (cursor !== '0')
  return found
}
