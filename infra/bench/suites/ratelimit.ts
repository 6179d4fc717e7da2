import { once } from 'node:events'
import { connect } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { Redis } from 'ioredis'
import { RateLimiterRedis, RateLimiterUnion } from 'rate-limiter-flexible'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { connectRedis, keySpace } from '@wattle/redis'
import {
  createRateLimits,
  fixedWindow,
  leakyBucket,
  rateLimit,
  slidingCounter,
  slidingLog,
  tokenBucket,
} from '@wattle/ratelimit'
import { sideBySide, type Took, type Variant } from '../harness/measure.ts'
import type { Row } from '../harness/row.ts'
import { isWanted, runAlone, suiteOptions, type SuiteOptions } from '../harness/suite.ts'

/**
 * Decisions a second, 64 at once, and a limited Fastify route; each beside the floors and the alternatives on the same
 * Redis. Variants take turns round by round; a ratio is the median of the ratios of each round.
 */

type Contender = Omit<Variant, 'start' | 'goal'> & {
  /** One decision, or one request. */
  once: () => Promise<unknown>
  /** The ratio that it is to reach. */
  goal?: number
}

const concurrency = 64
const users = Array.from({ length: 10_000 }, (_, n) => `usr_${n}`)
const silent = { info() {}, warn() {}, error() {} }
const minuteMs = 60_000

/** Measures, and returns a row for each variant. */
export async function ratelimit(options: SuiteOptions = suiteOptions({})): Promise<Row[]> {
  await using server = await startRedis()
  return [...(await decisions(server, options)), ...(await routes(server, options))]
}

/** By a name that types do not follow: its own types and ours both say what a route's `config.rateLimit` is. */
async function fastifyRateLimit(options: object) {
  const name: string = '@fastify/rate-limit'
  const { default: plugin } = (await import(name)) as { default: FastifyPluginAsync<object> }
  return (app: FastifyInstance) => app.register(plugin, options)
}

async function decisions(server: TestRedis, options: SuiteOptions): Promise<Row[]> {
  const redis = connectRedis({ url: server.url, name: 'bench' })
  await redis.whenReady(5_000)
  const keys = keySpace({ environment: 'bench', service: 'bench' })
  const limits = createRateLimits({ redis, keys, log: silent })
  const plain = new Redis(server.url)
  const floorScript = "return redis.call('INCR', KEYS[1])"
  const sha = (await plain.script('LOAD', floorScript)) as string

  let turn = 0
  const user = () => users[turn++ % users.length] ?? ''
  const much = { limit: 600_000, windowMs: minuteMs }
  const log = slidingLog({ limit: 1_000, windowMs: 1_000 })
  const queue = leakyBucket({ ...much, queue: 100_000 })
  const one = (name: string, policy: ReturnType<typeof tokenBucket>) => {
    const limit = limits.define<string>(name, { policy, key: (id) => id })
    return () => limit.take(user())
  }
  const levels = ['user', 'address', 'endpoint']
  const three = limits.define<string>('three', {
    levels: levels.map((name) => ({
      name,
      policy: tokenBucket(much),
      key: (id: string) => (name === 'endpoint' ? 'pay' : id),
    })),
  })
  const leased = limits.define<string>('leased', {
    policy: tokenBucket({ limit: 50_000_000, windowMs: 10 * minuteMs }),
    key: () => 'all',
    lease: { size: 10_000 },
  })
  const flexible = (keyPrefix: string) =>
    new RateLimiterRedis({ storeClient: plain, keyPrefix, points: 600_000, duration: 60 })
  const single = flexible('one')
  const union = new RateLimiterUnion(...levels.map(flexible))

  const floor = 'raw INCR'
  const rows = await compare(server, options, 'one limit', [
    { name: floor, once: () => plain.incr(`incr:${user()}`) },
    { name: 'raw EVALSHA of INCR', once: () => plain.evalsha(sha, 1, `sha:${user()}`) },
    { name: 'rate-limiter-flexible', once: () => single.consume(user()) },
    { name: 'token bucket', ours: true, once: one('bucket', tokenBucket(much)), goal: 0.9 },
    { name: 'fixed window', ours: true, once: one('fixed', fixedWindow(much)) },
    { name: 'sliding counter', ours: true, once: one('counter', slidingCounter(much)) },
    { name: 'sliding log', ours: true, once: one('log', log) },
    { name: 'leaky bucket', ours: true, once: one('queue', queue) },
    {
      name: 'token bucket, leased',
      ours: true,
      once: () => leased.take('all'),
      against: 'token bucket',
      goal: 10,
    },
  ])
  const composed = await compare(server, options, 'user, address and endpoint', [
    { name: 'union of three, rate-limiter-flexible', once: () => union.consume(user()) },
    { name: 'three levels in one call', ours: true, once: () => three.take(user()), goal: 2 },
  ])
  limits.close()
  plain.disconnect()
  await redis.close()
  return [...rows, ...composed]
}

async function routes(server: TestRedis, options: SuiteOptions): Promise<Row[]> {
  const redis = connectRedis({ url: server.url, name: 'bench-http' })
  await redis.whenReady(5_000)
  const personalSecret = 'a secret of the benchmark, 32 long'
  const keys = keySpace({ environment: 'bench', service: 'http', personalSecret })
  const limits = createRateLimits({ redis, keys, log: silent })
  const plain = new Redis(server.url)
  const pipelined = new Redis(server.url, { enableAutoPipelining: true })
  const policies = { default: tokenBucket({ limit: 60_000_000, windowMs: minuteMs }) }
  const loose = { max: 10_000_000, timeWindow: minuteMs }
  const callers = await Promise.all([
    route(async () => {}),
    route(await fastifyRateLimit({ redis: plain, ...loose })),
    route(await fastifyRateLimit({ redis: pipelined, ...loose })),
    route((app) => app.register(rateLimit, { limits, policies })),
  ])
  const [bare, peer, peerPipelined, ours] = callers
  const rows = await compare(server, options, 'a limited Fastify route', [
    { name: '@fastify/rate-limit on Redis', once: peer.call },
    { name: '@fastify/rate-limit, auto-pipelined', once: peerPipelined.call },
    { name: 'without a limit', once: bare.call },
    { name: 'wattle', ours: true, once: ours.call, goal: 1.1 },
  ])
  await Promise.all(callers.map((caller) => caller.close()))
  limits.close()
  for (const client of [plain, pipelined]) client.disconnect()
  await redis.close()
  return rows
}

/** A route on a port of its own, and a client that keeps its connections and reads no more of a reply than it must. */
async function route(prepare: (app: FastifyInstance) => PromiseLike<unknown>) {
  const app = Fastify()
  await prepare(app)
  app.get('/', () => ({ ok: true }))
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as { port: number }
  const free: (() => Promise<void>)[] = []
  const sockets = await Promise.all(
    Array.from({ length: concurrency }, async () => {
      const socket = connect(port, '127.0.0.1').setNoDelay(true)
      await once(socket, 'connect')
      let done: (() => void) | undefined
      socket.on('data', (chunk: Buffer) => {
        if (!chunk.includes('200 OK')) throw new Error(chunk.toString())
        done?.()
      })
      free.push(
        () =>
          new Promise((resolve) => {
            done = resolve
            socket.write('GET / HTTP/1.1\r\nhost: bench\r\n\r\n')
          }),
      )
      return socket
    }),
  )
  return {
    async call() {
      const caller = free.pop()
      if (!caller) throw new Error('more calls than connections')
      await caller()
      free.push(caller)
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await app.close()
    },
  }
}

/** So many at once; the first variant is the floor. */
async function compare(
  server: TestRedis,
  options: SuiteOptions,
  group: string,
  contenders: readonly Contender[],
): Promise<Row[]> {
  if (!isWanted(options, group)) return []
  const variants = contenders.map(({ once: decide, goal, ...variant }): Variant => {
    const running = { run: (times: number) => batchOf(server, decide, times) }
    return {
      ...variant,
      ...(goal === undefined ? {} : { goal: { of: 'ratio', atLeast: goal } }),
      start: async () => running,
    }
  })
  return sideBySide({ ...options, group, variants, floor: variants[0]?.name ?? '' })
}

async function batchOf(
  server: TestRedis,
  decide: () => Promise<unknown>,
  times: number,
): Promise<Took> {
  const serverBefore = await cpuMsOf(server)
  const before = process.cpuUsage()
  const startedMs = performance.now()
  let left = times
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (left-- > 0) await decide()
    }),
  )
  const ms = performance.now() - startedMs
  const { user, system } = process.cpuUsage(before)
  const serverCpuMs = (await cpuMsOf(server)) - serverBefore
  return { ms, cpuMs: (user + system) / 1_000, serverCpuMs }
}

/** Processor time of a server since it started. */
async function cpuMsOf(server: TestRedis): Promise<number> {
  const observer = server.client()
  const text = await observer.info('cpu')
  observer.disconnect()
  const seconds = [...text.matchAll(/used_cpu_(?:sys|user):([\d.]+)/g)]
  return seconds.reduce((sum, [, one]) => sum + 1_000 * Number(one), 0)
}

await runAlone(import.meta, 'ratelimit', ratelimit)
