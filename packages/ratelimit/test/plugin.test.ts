import Fastify, { type FastifyInstance } from 'fastify'
import { describe, expect } from 'vitest'
import {
  rateLimit,
  slidingLog,
  tokenBucket,
  type Decision,
  type RateLimitPluginOptions,
} from '../src/index.ts'
import { openLimits, patient, type Process } from './support/open.ts'
import { test as base } from './support/setup.ts'
import type { AppError } from '@wattle/contracts'
import type { FastifyRequest } from 'fastify'

type Build = (
  options?: Partial<RateLimitPluginOptions>,
  url?: string,
) => Promise<{
  app: FastifyInstance
  process: Process
}>

/** An app with some routes, and answers of errors as the kit makes them. */
const test = base.extend<{ build: Build }>({
  build: async ({ server, service }, use) => {
    const closing: (() => Promise<unknown>)[] = []
    await use(async (options, url = server.url) => {
      const process = openLimits(url, service, patient)
      if (url === server.url) await process.redis.whenReady(5_000)
      const app = Fastify()
      closing.push(
        () => app.close(),
        () => process.close(),
      )
      app.setErrorHandler((error: AppError, _request, reply) => {
        return reply.code(error.status ?? 500).send({ code: error.code, detail: error.message })
      })
      await app.register(rateLimit, { limits: process.limits, ...options })
      const answer = () => ({ ok: true })
      app.get('/', answer)
      app.get('/search', { config: { rateLimit: 'search' } }, answer)
      app.post('/upload', { config: { rateLimit: 'upload' } }, answer)
      app.get('/free', { config: { rateLimit: false } }, answer)
      const login = process.limits.define<FastifyRequest>('login', {
        policy: slidingLog({ limit: 2, windowMs: 60_000 }),
        key: (request) => request.ip,
      })
      app.post(
        '/login',
        { config: { rateLimit: { limit: login, count: 'failed', at: 'preHandler' } } },
        (request, reply) => reply.code(Number(request.headers['x-status'] ?? 200)).send({}),
      )
      const costly = process.limits.define<FastifyRequest>('costly', {
        levels: [
          {
            name: 'all',
            policy: tokenBucket({ limit: 10, windowMs: 60_000 }),
            reserve: { low: 0.5 },
          },
          {
            name: 'user',
            policy: tokenBucket({ limit: 100, windowMs: 60_000 }),
            key: () => 'usr_1',
          },
        ],
      })
      app.get(
        '/costly',
        {
          config: {
            rateLimit: {
              limit: costly,
              cost: 4,
              priority: ({ headers }) => (headers['x-low'] ? 'low' : 'high'),
            },
          },
        },
        answer,
      )
      return { app, process }
    })
    for (const close of closing) await close()
  },
})

describe('L5 the Fastify plugin', () => {
  test('a route without a word has the default: 100 a minute, said in every reply', async ({
    build,
  }) => {
    const { app } = await build()
    const { statusCode, headers } = await app.inject('/')
    expect(statusCode).toBe(200)
    expect(headers).toMatchObject({
      'ratelimit-policy': '"default";q=100;w=60',
      ratelimit: '"default";r=99;t=1',
      'x-ratelimit-limit': '100',
      'x-ratelimit-remaining': '99',
      'x-ratelimit-reset': '1',
    })
    expect(headers['retry-after']).toBeUndefined()
  })

  test.for([
    ['/search', 'GET', 30, 60],
    ['/upload', 'POST', 10, 3600],
  ] as const)(
    '%s has its preset, and past it 429 with a time to come back',
    async ([url, method, limit, windowSeconds], { build }) => {
      const { app } = await build()
      const replies = []
      for (let n = 0; n <= limit; n++) replies.push(await app.inject({ url, method }))
      expect(replies.filter(({ statusCode }) => statusCode === 200)).toHaveLength(limit)
      const last = replies.at(-1)
      expect(last?.statusCode).toBe(429)
      expect(last?.headers['ratelimit-policy']).toContain(`;q=${limit};w=${windowSeconds}`)
      expect(last?.headers.ratelimit).toContain(';r=0;t=')
      const retryAfter = Number(last?.headers['retry-after'])
      expect(retryAfter).toBeGreaterThan(0)
      expect(retryAfter).toBeLessThanOrEqual(windowSeconds)
      expect(last?.json()).toEqual({
        code: 'TOO_MANY_REQUESTS',
        detail: expect.stringMatching(/^Too many requests; try again in \d+ seconds?\.$/) as string,
      })
    },
  )

  test('a route can have none', async ({ build }) => {
    const { app } = await build()
    const { headers } = await app.inject('/free')
    expect(Object.keys(headers).filter((name) => name.includes('ratelimit'))).toEqual([])
  })

  test('HEAD counts once, together with GET', async ({ build }) => {
    const { app } = await build()
    await app.inject('/')
    const { headers } = await app.inject({ url: '/', method: 'HEAD' })
    expect(headers['x-ratelimit-remaining']).toBe('98')
  })

  test('clients are told apart by address, the /64 of IPv6, behind trusted proxies only', async ({
    build,
  }) => {
    const { app } = await build({ trustedProxies: ['10.0.0.0/8'] })
    const left = async (remoteAddress: string, forwarded?: string) => {
      const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
      const reply = await app.inject({ url: '/', remoteAddress, headers })
      return Number(reply.headers['x-ratelimit-remaining'])
    }
    expect(await left('203.0.113.1')).toBe(99)
    expect(await left('203.0.113.2')).toBe(99)
    expect(await left('203.0.113.1', '203.0.113.77')).toBe(98)
    expect(await left('10.0.0.1', '203.0.113.1')).toBe(97)
    expect(await left('2001:db8::1')).toBe(99)
    expect(await left('2001:db8::2')).toBe(98)
  })

  test('only failed requests stay counted where a route says so', async ({ build }) => {
    const { app } = await build()
    const send = async (status: string) => {
      const reply = await app.inject({
        url: '/login',
        method: 'POST',
        headers: { 'x-status': status },
      })
      return reply.statusCode
    }
    for (let n = 0; n < 5; n++) expect(await send('200')).toBe(200)
    expect([await send('401'), await send('200'), await send('401')]).toEqual([401, 200, 401])
    expect(await send('200')).toBe(429)
  })

  test('whoever leaves before the answer is counted by what it would have been', async ({
    build,
  }) => {
    const { app, process } = await build()
    const arrived = Promise.withResolvers<Decision | undefined>()
    const limit = process.limits.define<FastifyRequest>('left', {
      policy: slidingLog({ limit: 3, windowMs: 60_000 }),
    })
    const [answered, responded] = [Promise.withResolvers<object>(), Promise.withResolvers<void>()]
    app.get(
      '/slow',
      {
        config: { rateLimit: { limit, count: 'failed' } },
        onResponse: async () => responded.resolve(),
      },
      (request) => {
        arrived.resolve(request.rateLimitDecision)
        return answered.promise
      },
    )
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const leaves = new AbortController()
    const left = fetch(`${url}/slow`, { signal: leaves.signal }).catch(() => 'left')
    const decision = await arrived.promise
    leaves.abort()
    expect(await left).toBe('left')
    answered.reject(Object.assign(new Error('wrong'), { status: 401 }))
    await responded.promise
    expect(decision?.receipt?.refunded).toBe(false)
    const request = {} as FastifyRequest
    expect(await limit.peek(request)).toMatchObject({ remaining: 2 })
  })

  test('cost, priority and several levels: the headers name them all', async ({ build }) => {
    const { app } = await build()
    const low = { 'x-low': '1' }
    const first = await app.inject({ url: '/costly', headers: low })
    expect(first.headers).toMatchObject({
      'ratelimit-policy': '"costly-all";q=10;w=60, "costly-user";q=100;w=60',
      'x-ratelimit-limit': '10',
      'x-ratelimit-remaining': '1',
    })
    expect((await app.inject({ url: '/costly', headers: low })).statusCode).toBe(429)
    expect((await app.inject('/costly')).statusCode).toBe(200)
  })

  test('without Redis: by default the share of this process, where it is said 503', async ({
    build,
  }) => {
    const away = 'redis://127.0.0.1:1'
    const { app } = await build({}, away)
    const statuses = []
    for (let n = 0; n < 16; n++) statuses.push((await app.inject('/search')).statusCode)
    expect(statuses).toEqual([...Array.from({ length: 15 }, () => 200), 429])
    const { app: closed } = await build({ withoutRedis: 'closed' }, away)
    const refused = await closed.inject('/search')
    expect([refused.statusCode, refused.headers['retry-after']]).toEqual([503, '1'])
    expect(refused.json()).toMatchObject({ code: 'UNAVAILABLE' })
  })
})
