import { sideBySide } from '../../harness/measure.ts'
import type { Goal, Row } from '../../harness/row.ts'
import { group, variantOf, type Bench, type Need, type Remote } from './bench.ts'
import { peers, type SubjectName } from './subjects.ts'

/** Reads of what is there, in L1 and in L2, and reads of what is nowhere. */

const atLeast = (ratio: number): Goal => ({ of: 'ratio', atLeast: ratio })

/** Goals of ours, by subject. */
type Goals = Partial<Record<SubjectName, Goal>>

/** Hits in the process: 1,000 entries, one read after another. */
export async function l1Hits(bench: Bench): Promise<Row[]> {
  const entries = 1_000
  const rows: Row[] = []
  for (const tagged of [false, true]) {
    const name = tagged ? 'L1 hit, tagged' : 'L1 hit'
    const goals: Goals = { wattle: atLeast(0.9), 'wattle getOrSet': atLeast(0.9) }
    const variant = (subject: SubjectName, need: Need) =>
      variantOf(bench, {
        subject,
        goal: goals[subject],
        need,
        prepare: (remote) => remote.fill(entries),
        run: (remote, times) => remote.hits(entries, times, 1),
      })
    const both: Need = { tagged, tiers: 'both' }
    const variants = [
      variant('lru-cache', { tiers: 'l1' }),
      variant('wattle', both),
      variant('wattle getOrSet', both),
      ...peers.map((peer) =>
        variant(peer, peer === 'async-cache-dedupe' ? { tagged, tiers: 'l1' } : both),
      ),
    ]
    rows.push(
      ...(await group(bench, name, () =>
        sideBySide({ ...bench.options, group: name, floor: 'lru-cache', variants }),
      )),
    )
  }
  return rows
}

const entriesInL2 = 2_000

/** Hits in Redis of 1 KB, with so many readers at once; the floor is ioredis in whichever way is faster there. */
export async function l2Hits(bench: Bench): Promise<Row[]> {
  const rows: Row[] = []
  for (const atOnce of [1, 32, 256]) {
    const name = `L2 hit, 1 KB, ${atOnce} at once`
    const goals: Goals = {
      wattle: atLeast(atOnce === 1 ? 0.85 : atOnce === 32 ? 1.2 : 1.5),
      'wattle strict': atLeast(0.6),
    }
    const variant = (subject: SubjectName, pipelining: boolean, name: string = subject) =>
      variantOf(bench, {
        subject,
        name,
        goal: goals[subject],
        need: { tiers: 'l2', pipelining },
        prepare: (remote) => remote.fill(entriesInL2),
        run: (remote, times) => remote.hits(entriesInL2, times, atOnce),
      })
    const pipelining = atOnce > 1
    const variants = [
      variant('ioredis', false, plainGet),
      variant('ioredis', true, pipelinedGet),
      variant('wattle', pipelining),
      variant('wattle strict', pipelining),
      ...peers.map((peer) => variant(peer, pipelining)),
    ]
    const floor = pipelining ? pipelinedGet : plainGet
    rows.push(
      ...(await group(bench, name, () =>
        sideBySide({ ...bench.options, group: name, floor, variants }),
      )),
    )
  }
  return rows
}

/** 100 entries of 1 KB a call, one call after another. */
export async function manyHits(bench: Bench): Promise<Row[]> {
  const [name, each] = ['L2 getMany, 100 keys of 1 KB', 100]
  const variant = (subject: SubjectName, goal?: Goal) =>
    variantOf(bench, {
      subject,
      name: subject === 'ioredis' ? `100 × ${pipelinedGet}` : subject,
      goal,
      need: { tiers: 'l2' },
      prepare: (remote) => remote.fill(entriesInL2),
      run: (remote, times) => remote.manyHits(entriesInL2, times, each),
    })
  const variants = [
    variant('ioredis'),
    variant('ioredis MGET'),
    variant('wattle', atLeast(1.5)),
    ...peers.map((peer) => variant(peer)),
  ]
  const floor = `100 × ${pipelinedGet}`
  return group(bench, name, () =>
    sideBySide({
      ...bench.options,
      group: name,
      floor,
      variants,
      unit: 'keys/s',
      unitsPerRun: each,
    }),
  )
}

/** Nothing in Redis, a loader that costs nothing, and the value stored: 256 at once. Ours is to be ahead of each peer. */
export async function misses(bench: Bench): Promise<Row[]> {
  const name = 'Miss with a free loader, 1 KB, 256 at once'
  const run = (remote: Remote, times: number) => remote.misses(times, 256)
  const variant = (subject: SubjectName, name: string = subject, goal?: Goal) =>
    variantOf(bench, { subject, name, goal, need: { tiers: 'l2' }, run })
  const floor = 'ioredis GET + SET, auto-pipelined'
  const variants = [
    variant('ioredis', floor),
    variant('wattle', 'wattle', atLeast(0.75)),
    ...peers.map((peer) => variant(peer)),
  ]
  // Every miss leaves an entry in Redis; short batches keep that to what the server has room for.
  const batchMs = Math.min(bench.options.batchMs, 100)
  return group(bench, name, async () => {
    const rows = await sideBySide({ ...bench.options, batchMs, group: name, floor, variants })
    const rivals = rows.filter((row) => peers.some((peer) => peer === row.variant))
    const best = Math.max(0.75, ...rivals.flatMap((row) => row.ratio ?? []))
    return rows.map((row) => (row.goal ? { ...row, goal: atLeast(best) } : row))
  })
}

const plainGet = 'ioredis GET'
const pipelinedGet = 'ioredis GET, auto-pipelined'
