import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { createWarming, warm, type Cache, type WarmingJob } from '../src/index.ts'
import { held, test as base } from './setup.ts'

/** Warmings that the test closes by ending. */
const test = base.extend<{
  warming: (cache: Cache, ...jobs: WarmingJob[]) => ReturnType<typeof createWarming>
}>({
  warming: async ({}, use) => {
    const made: ReturnType<typeof createWarming>[] = []
    await use((cache, ...jobs) => {
      const one = createWarming({ cache, jobs })
      made.push(one)
      return one
    })
    await Promise.all(made.map((one) => one.close()))
  },
})

const ids = (count: number) => Array.from({ length: count }, (_, at) => `id${at}`)

function profiles(cache: Cache) {
  let loads = 0
  const { profile } = cache.define({
    profile: {
      load: async (id: string) => ({ id, loads: loads++ }),
      key: (id) => [id],
      ttl: '1h',
    },
  })
  return {
    profile,
    get loads() {
      return loads
    },
  }
}

describe('W1 warming jobs', () => {
  test('what a job names is in Redis for every process when it has run, and is loaded once', async ({
    open,
    warming,
  }) => {
    const [a, b] = [await open(), await open()]
    const [mine, theirs] = [profiles(a.cache), profiles(b.cache)]
    const job = { name: 'profiles', find: () => ids(120).map((id) => warm(mine.profile, id)) }
    const run = await warming(a.cache, job).run('profiles')
    expect(run).toMatchObject({ state: 'done', found: 120, warmed: 120, failed: 0 })
    for (const id of ids(120)) expect((await theirs.profile.read(id)).tier).toBe('l2')
    expect(mine.loads).toBe(120)
    expect(theirs.loads).toBe(0)

    const again = await warming(a.cache, { ...job, name: 'again' }).run('again')
    expect(again).toMatchObject({ warmed: 0, present: 120 })
    expect(mine.loads).toBe(120)
  })

  test('no more loads at once than the job may have; with loadMany one call a batch', async ({
    open,
    warming,
  }) => {
    const { cache } = await open()
    let [active, most] = [0, 0]
    const sizes: number[] = []
    const plan = cache.define({
      single: {
        load: async (id: string) => {
          most = Math.max(most, ++active)
          await new Promise((done) => setImmediate(done))
          active--
          return id
        },
        key: (id) => [id],
        ttl: '1h',
      },
      many: {
        load: async (id: string) => id,
        loadMany: async (all) => {
          sizes.push(all.length)
          return all.map(([id]) => id)
        },
        key: (id) => [id],
        ttl: '1h',
      },
    })
    const find = () => [
      ...ids(100).map((id) => warm(plan.single, id)),
      ...ids(100).map((id) => warm(plan.many, id)),
    ]
    const run = await warming(cache, { name: 'all', find, batch: 50, concurrency: 7 }).run('all')
    expect(run).toMatchObject({ warmed: 200 })
    expect(most).toBe(7)
    expect(sizes).toEqual([50, 50])
  })

  test('what fails is tried again; what goes on failing is counted, with the reason', async ({
    open,
    warming,
  }) => {
    const { cache } = await open()
    const attempts: string[] = []
    const plan = cache.define({
      thing: {
        load: async (id: string) => {
          attempts.push(id)
          if (id === 'never' || attempts.filter((one) => one === id).length === 1)
            throw new Error(`no ${id}`)
          return id
        },
        key: (id) => [id],
        ttl: '1h',
      },
    })
    const find = () => ['once', 'never'].map((id) => warm(plan.thing, id))
    const run = await warming(cache, { name: 'things', find, retries: 2 }).run('things')
    expect(run).toMatchObject({ state: 'done', found: 2, warmed: 1, failed: 1, error: 'no never' })
    expect(attempts.toSorted()).toEqual(['never', 'never', 'never', 'once', 'once'])
  })

  test('one process of a fleet runs a job, and when it dies another one can', async ({
    open,
    warming,
  }) => {
    const [a, b] = [await open(), await open()]
    const load = held<string>()
    const plan = a.cache.define({
      thing: { load: load.call, key: (id: string) => [id], ttl: '1h' },
    })
    const job = { name: 'things', find: () => [warm(plan.thing, 'x')] }
    const running = warming(a.cache, job).run('things')
    const call = await load.next()
    const other = warming(b.cache, { name: 'things', find: () => [] })
    expect(await other.run('things')).toBeUndefined()
    call.resolve('x')
    await running
    expect(await other.run('things')).toMatchObject({ state: 'done' })

    // As a process leaves it that was killed.
    await a.raw.set(a.keys.key('duty', 'warming-things'), 'of-the-dead', 'PX', 300)
    expect(await other.run('things')).toBeUndefined()
    await eventually(async () => expect(await other.run('things')).toMatchObject({ state: 'done' }))
  })

  test('jobs that are due run by priority, at once when the first process starts, and not again in the next', async ({
    open,
    warming,
  }) => {
    const [a, b] = [await open(), await open()]
    const order: string[] = []
    const jobs = (['low', 'high', 'medium'] as const).map((priority) => ({
      name: priority,
      priority,
      find: () => (order.push(priority), []),
    }))
    const first = warming(a.cache, ...jobs)
    first.start()
    await eventually(() => expect(order).toEqual(['high', 'medium', 'low']))
    await first.close()
    warming(b.cache, ...jobs).start()
    const status = await warming(b.cache, ...jobs).status()
    expect(status).toMatchObject([
      { name: 'high', everyMs: 1_800_000, past: [{ state: 'done' }] },
      { name: 'medium' },
      { name: 'low' },
    ])
    expect(order).toHaveLength(3)
  })

  test('a job runs again when its time has come', async ({ open, warming }) => {
    const { cache } = await open()
    let runs = 0
    warming(cache, { name: 'often', every: '50ms', find: () => (runs++, []) }).start()
    await eventually(() => expect(runs).toBeGreaterThan(2), { withinMs: 10_000 })
  })

  test('it loads into Redis only: what this process keeps stays', async ({ open, warming }) => {
    const { cache } = await open({ l1: { maxEntries: 10 } })
    const { profile } = profiles(cache)
    const hot = ids(8)
    for (const id of hot) {
      await eventually(async () => expect((await profile.read(id)).tier).toBe('l1'))
    }
    const find = () => Array.from({ length: 200 }, (_, at) => warm(profile, `cold${at}`))
    expect(await warming(cache, { name: 'cold', find }).run('cold')).toMatchObject({ warmed: 200 })
    for (const id of hot) expect((await profile.read(id)).tier).toBe('l1')
  })

  test('a value that was invalidated while it was loaded is not stored', async ({
    open,
    warming,
  }) => {
    const { cache } = await open()
    const load = held<string>()
    const plan = cache.define({ thing: { load: load.call, key: (id) => [id], ttl: '1h' } })
    const find = () => [warm(plan.thing, 'x')]
    const running = warming(cache, { name: 'things', find }).run('things')
    const call = await load.next()
    await cache.invalidate([plan.thing.ref('x')])
    call.resolve('old')
    expect(await running).toMatchObject({ warmed: 0, skipped: 1 })
    const reading = plan.thing.get('x')
    ;(await load.next()).resolve('new')
    expect(await reading).toBe('new')
  })
})

describe('W3 progress and operators', () => {
  test('another process sees how far a run is, and can stop it', async ({ open, warming }) => {
    const [a, b] = [await open(), await open()]
    const load = held<string>()
    const plan = a.cache.define({
      thing: { load: load.call, key: (id: string) => [id], ttl: '1h', hardTimeout: '5s' },
    })
    const find = () => ids(100).map((id) => warm(plan.thing, id))
    const job = { name: 'things', concurrency: 2, find }
    const running = warming(a.cache, job).run('things')
    ;(await load.next()).resolve('x')
    ;(await load.next()).resolve('y')
    const operator = warming(b.cache, { name: 'things', find: () => [] })
    await eventually(async () => {
      const [status] = await operator.status()
      expect(status?.present).toMatchObject({ state: 'running', found: 50, warmed: 2 })
    })
    await operator.stop('things')
    const answering = setInterval(() => void load.next().then((call) => call.resolve('z')), 20)
    expect(await running).toMatchObject({ state: 'stopped' })
    clearInterval(answering)
    const [status] = await operator.status()
    expect(status?.present).toBeUndefined()
    expect(status?.past).toMatchObject([{ state: 'stopped' }])
  })

  test('closing ends the run under way at once, and begins no other that is due', async ({
    open,
    warming,
  }) => {
    const { cache } = await open()
    const load = held<string>()
    const { slow } = cache.define({
      slow: { load: (id: string) => load.call(id), key: (id: string) => [id], ttl: '1h' },
    })
    let others = 0
    const one = warming(
      cache,
      { name: 'slow', priority: 'high', find: () => [warm(slow, 'a')] },
      { name: 'other', priority: 'low', find: () => (others++, []) },
    )
    one.start()
    const call = await load.next()
    await one.close()
    expect((await one.status()).find(({ name }) => name === 'slow')?.past).toMatchObject([
      { state: 'interrupted' },
    ])
    call.resolve('late')
    expect(await one.run('other')).toBeUndefined()
    expect(others).toBe(0)
  })

  test('a job whose search fails ends as failed, with the reason', async ({ open, warming }) => {
    const { cache, registry } = await open()
    const find = () => Promise.reject(new Error('relation "bills" does not exist'))
    const one = warming(cache, { name: 'bills', retries: 1, find })
    expect(await one.run('bills')).toMatchObject({
      state: 'failed',
      error: 'relation "bills" does not exist',
    })
    expect(await registry.metrics()).toContain('wattle_cache_warming_seconds')
  })

  test('a job that is not declared well is refused in one sentence', async ({ open, warming }) => {
    const { cache } = await open()
    const find = () => []
    expect(() => warming(cache, { name: 'big', batch: 1_000, find })).toThrow(
      'batch of the warming job big is 1000: give a whole number from 1 to 100',
    )
    expect(() => warming(cache, { name: 'a', find }, { name: 'a', find })).toThrow('two warming')
    expect(() => warming(cache, { name: 'a', find }).run('b')).toThrow('no warming job is called b')
  })

  test('while Redis is away a run stands still, loads nothing, and goes on when it is back', async ({
    open,
    server,
    warming,
  }) => {
    const { cache } = await open()
    const thing = profiles(cache)
    let searched: (() => void) | undefined
    const found = new Promise<void>((done) => (searched = done))
    const find = async () => {
      await found
      return ids(20).map((id) => warm(thing.profile, id))
    }
    const one = warming(cache, { name: 'profiles', find })
    const running = one.run('profiles')
    await cache.invalidate([thing.profile.all()])
    server.freeze()
    try {
      for (let at = 0; at < 5; at++) await cache.invalidate([thing.profile.all()])
      searched?.()
      await eventually(() => expect(one.progress('profiles')?.state).toBe('paused'))
      expect(thing.loads).toBe(0)
    } finally {
      server.thaw()
    }
    expect(await running).toMatchObject({ state: 'done', warmed: 20, failed: 0 })
  })

  test('an entry whose storing Redis did not answer is warmed once it does', async ({
    open,
    server,
    warming,
  }) => {
    const { cache } = await open()
    const { thing } = cache.define({
      thing: {
        load: async (id: string) => {
          server.freeze()
          return id
        },
        key: (id) => [id],
        ttl: '1h',
      },
    })
    const one = warming(cache, { name: 'things', find: () => [warm(thing, 'x')] })
    const running = one.run('things')
    try {
      await eventually(() => expect(one.progress('things')?.state).toBe('paused'))
    } finally {
      server.thaw()
    }
    // What lay in its socket it may have executed late.
    const { warmed, present, ...run } = (await running) ?? { warmed: 0, present: 0 }
    expect(run).toMatchObject({ state: 'done', skipped: 0, failed: 0 })
    expect(warmed + present).toBe(1)
    expect(await thing.read('x')).toMatchObject({ status: 'hit', tier: 'l2' })
  })
})
