import { createCache, warm } from '@wattle/cache'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  careFor,
  createLogger,
  createRegistry,
  createService,
  type CacheCare,
} from '../src/index.ts'
import { watchBudgets } from '../src/cache-care/budgets.ts'
import { testConfig } from './support.ts'

const mebibyte = 2 ** 20
let redisServer: TestRedis
beforeAll(async () => {
  redisServer = await startRedis()
})
afterAll(() => redisServer.stop())

let names = 0
/** A process with a cache of letters, in a namespace of its own or in that of another. */
async function startProcess(
  options: {
    url?: string
    environment?: string
    name?: string
    load?: (letter: string) => Promise<string>
  } = {},
) {
  const { url = redisServer.url, name = 'billing', environment = `e${names++}` } = options
  const lines: { level: string; msg: string }[] = []
  const config = testConfig({ WATTLE_LOG_LEVEL: 'warn' })
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const log = createLogger({ name, config, destination })
  const registry = createRegistry(name)
  const redis = connectRedis({ url, name, log })
  const cache = createCache({
    redis,
    keys: keySpace({ environment, service: name }),
    log,
    registry,
  })
  const { load = async (letter) => letter.toUpperCase() } = options
  const letters = 'abcdefghijkl'.split('')
  const plan = cache.define({ letter: { key: (letter: string) => [letter], ttl: '1h', load } })
  const app = await createService({
    name,
    version: '0.1.0',
    config,
    log,
    registry,
    authenticate: async ({ headers }) => ({
      userId: 'usr_1',
      roles: headers.authorization === 'operator' ? ['operator'] : [],
    }),
  })
  const closers: (() => unknown)[] = []
  const onClose = (_name: string, close: () => unknown) => void closers.push(close)
  const care: CacheCare = careFor(app, {
    cache,
    onClose,
    warming: [
      {
        name: 'letters',
        priority: 'high',
        find: () => letters.map((one) => warm(plan.letter, one)),
      },
    ],
  })
  await app.ready()
  return {
    app,
    cache,
    care,
    environment,
    plan,
    registry,
    lines,
    ask: (method: 'GET' | 'POST' | 'DELETE', path = '', authorization = 'operator') =>
      app.inject({ method, url: `/operator/cache${path}`, headers: { authorization } }),
    closeCare: () => Promise.all(closers.map((close) => close())),
    async [Symbol.asyncDispose]() {
      await Promise.all(closers.map((close) => close()))
      await app.close()
      cache.close()
      await redis.close()
    },
  }
}

type Shown = {
  budget: { budgetBytes: number; problems: string[] }
  consistency: { checked: number }
  warming: { name: string; present: object | null; past: { state: string; warmed: number }[] }[]
}
const jobOf = async ({ ask }: Awaited<ReturnType<typeof startProcess>>, name = 'letters') =>
  (await ask('GET')).json<Shown>().warming.find((job) => job.name === name)

describe('W1 jobs of a fleet', () => {
  test('run once at start, in one of the processes that start together', async () => {
    const environment = `fleet${names++}`
    await using one = await startProcess({ environment })
    await using two = await startProcess({ environment })
    await using three = await startProcess({ environment })
    for (const process of [one, two, three]) {
      await eventually(async () => {
        expect(await jobOf(process)).toMatchObject({ present: null, past: [{ state: 'done' }] })
        expect(await jobOf(process, 'hottest')).toMatchObject({ past: [{ state: 'done' }] })
      })
      expect((await process.plan.letter.read('a')).tier).toBe('l2')
    }
    expect((await jobOf(one))?.past).toMatchObject([{ warmed: 12 }])
  })
})

describe('W3 operators', () => {
  test('see what is done for the cache, and nobody else does', async () => {
    await using process = await startProcess()
    await eventually(async () => expect((await jobOf(process))?.past).toHaveLength(1))
    expect((await process.ask('GET')).json()).toMatchObject({
      service: 'billing',
      budget: { budgetBytes: 64 * mebibyte },
      consistency: { checked: 0, findings: [] },
      hotKeys: { reads: { keys: [] }, misses: { keys: [] } },
    })
    for (const [method, path] of [
      ['GET', ''],
      ['POST', '/warming/letters'],
      ['DELETE', '/warming/letters'],
    ] as const)
      expect((await process.ask(method, path, 'somebody')).statusCode).toBe(403)
  })

  test('start a job, see it run, stop it, and are told of a name that is none', async () => {
    const held = Promise.withResolvers<string>()
    await using process = await startProcess({ load: () => held.promise })
    await eventually(async () => expect((await jobOf(process))?.present).not.toBe(null))
    expect((await process.ask('POST', '/warming/letters')).json()).toEqual({ started: false })
    expect((await process.ask('DELETE', '/warming/letters')).statusCode).toBe(204)
    held.resolve('A')
    await eventually(async () => {
      expect(await jobOf(process)).toMatchObject({ present: null, past: [{ state: 'stopped' }] })
    })

    expect((await process.ask('POST', '/warming/letters')).json()).toEqual({ started: true })
    await eventually(async () => {
      expect((await jobOf(process))?.past[0]).toMatchObject({ state: 'done' })
    })
    for (const method of ['POST', 'DELETE'] as const)
      expect((await process.ask(method, '/warming/vowels')).statusCode).toBe(404)
  })
})

describe('C20 room for all budgets', () => {
  test('is checked at start: what is wrong is one sentence in the log, and a figure', async () => {
    await using small = await startProcess()
    await eventually(() => expect(small.care.budgetProblems()).toHaveLength(1))
    const sentence = small.lines[0]?.msg
    expect(sentence).toMatch(
      /^maxmemory of Redis billing is 268435456 bytes, less than 1\.25 times/,
    )
    expect(await small.registry.metrics()).toMatch(/wattle_cache_budget_problems\{[^}]*\} 1\n/)
    expect((await small.ask('GET')).json<Shown>().budget.problems).toEqual([sentence])

    await using large = await startRedis({ maxMemory: '768mb' })
    await using process = await startProcess({ url: large.url })
    await eventually(async () => {
      expect(await process.registry.metrics()).toMatch(/wattle_cache_budget_problems\{[^}]*\} 0\n/)
    })
    await process.closeCare()
    expect(process.lines).toEqual([])
  })

  test('is checked as soon as a Redis that was away at start is there', async () => {
    await using late = await startRedis({ maxMemory: '64mb' })
    await late.kill()
    await using process = await startProcess({ url: late.url })
    const told: string[] = []
    const watch = watchBudgets({
      cache: process.cache,
      log: { warn: (sentence) => void told.push(sentence) },
      registry: createRegistry('another'),
      budgets: { billing: 100 * mebibyte },
    })
    await late.restart()
    await eventually(() => expect(told).toHaveLength(1), { withinMs: 15_000 })
    expect(told[0]).toMatch(/raise it to 131072000, or lower a budget/)
    watch.stop()
  })

  test('a service without a line in the table is told where to add it', async () => {
    await expect(startProcess({ name: 'memo' })).rejects.toThrow(
      /^the service memo has no budget of the shared Redis: add its line to cacheBudgets in /,
    )
  })
})

describe('the care of a cache', () => {
  test('ends at once where Redis is away', async () => {
    await using away = await startRedis()
    const process = await startProcess({ url: away.url })
    await eventually(() => expect(process.cache.synchronized).toBe(true))
    await away.kill()
    await process.closeCare()
    await process[Symbol.asyncDispose]()
  })
})
