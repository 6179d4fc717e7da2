import { isolate } from '../harness/isolated.ts'
import { sideBySide, type Variant } from '../harness/measure.ts'
import { failedRow, rowOf, type Goal, type Row } from '../harness/row.ts'
import { isWanted, runAlone, suiteOptions, type SuiteOptions } from '../harness/suite.ts'
import { arc, lru, sieve, tinyLfu, wattle, type Policy } from './l1/policies.ts'
import { recorded, synthetic, type References } from './l1/references.ts'
import { storeNames, type Subject } from './l1/subject.ts'

const seed = 1
const subject = new URL('./l1/subject.ts', import.meta.url)
const policies: Record<string, Policy> = { wattle, lru, sieve, arc, 'w-tinylfu': tinyLfu }

/**
 * The store of the in-process tier: hit ratios beside LRU and the policies that were considered, the time of a hit and
 * of an insertion beside lru-cache, and the bytes that an entry takes.
 */
export async function l1(options: SuiteOptions = suiteOptions({})): Promise<Row[]> {
  return [
    ...(await speed(options, 'hit through an async function', 'hit', { of: 'ratio', atMost: 1 })),
    ...(await speed(options, 'insert and evict', 'insert')),
    ...(await memory(options)),
    ...hitRatios(options),
  ]
}

async function speed(
  options: SuiteOptions,
  group: string,
  operation: 'hit' | 'insert',
  goal?: Goal,
): Promise<Row[]> {
  if (!isWanted(options, group)) return []
  const variants = storeNames.map((name): Variant => {
    const ours = name === 'wattle'
    return {
      name,
      ours,
      async start() {
        const isolated = await isolate<Subject>(subject, name)
        return isolated && { run: (times) => isolated[operation](times), stop: isolated.end }
      },
    }
  })
  const rows = await sideBySide({ ...options, group, variants, floor: 'lru-cache' })
  return rows.map((row) => inNanoseconds(row.ours ? { ...row, goal } : row))
}

/** A row of operations a second, as nanoseconds for each; ratios turn over with it. */
function inNanoseconds(row: Row): Row {
  const [low, high] = row.spread
  const ratio = row.ratio === undefined ? undefined : 1 / row.ratio
  return { ...row, unit: 'ns', value: 1e9 / row.value, spread: [1e9 / high, 1e9 / low], ratio }
}

async function memory(options: SuiteOptions): Promise<Row[]> {
  const group = 'memory of an entry beside key and value, 100,000 entries'
  if (!isWanted(options, group)) return []
  const unit = 'bytes'
  const rows: Row[] = []
  for (const variant of storeNames) {
    options.say(`${group}: ${variant}`)
    const ours = variant === 'wattle'
    const goal: Goal | undefined = ours ? { of: 'value', atMost: 150 } : undefined
    const isolated = await isolate<Subject>(subject, variant, { execArgv: ['--expose-gc'] })
    try {
      if (!isolated) throw new Error('there is no such store')
      const rounds = [await isolated.bytesPerEntry(), await isolated.bytesPerEntry()]
      rows.push(rowOf({ group, variant, ours, unit, goal, rounds }))
    } catch (cause) {
      rows.push(failedRow({ group, variant, ours, unit, goal }, cause))
    } finally {
      await isolated?.end()
    }
  }
  return rows
}

/** Deterministic, so each is measured once. */
function hitRatios(options: SuiteOptions): Row[] {
  const { quick, trace, say } = options
  const sequences = [
    ...synthetic(quick ? 400_000 : 1_600_000, seed),
    ...(trace === undefined ? [] : recorded(trace)),
  ]
  return sequences.flatMap((sequence) => {
    const group = `hit ratio: ${sequence.name}`
    if (!isWanted(options, group)) return []
    say(group)
    const least = sequence.name.includes('shift') ? 0.95 : 1
    const base = percentOfHits(lru, sequence)
    return Object.entries(policies).map(([variant, policy]) => {
      const ours = policy === wattle
      const value = policy === lru ? base : percentOfHits(policy, sequence)
      const goal: Goal | undefined = ours ? { of: 'ratio', atLeast: least } : undefined
      return rowOf({ group, variant, ours, unit: '%', rounds: [value], ratio: value / base, goal })
    })
  })
}

function percentOfHits(policy: Policy, { capacity, keys, from, to }: References): number {
  const refer = policy(capacity)
  let hits = 0
  for (const [at, key] of keys.subarray(0, to).entries()) {
    if (refer(key) && at >= from) hits++
  }
  return (100 * hits) / (to - from)
}

await runAlone(import.meta, 'l1', l1)
