import { createCache } from '@wattle/cache'
import type { Tokens } from '@wattle/contracts'
import { connectRedis, keySpace } from '@wattle/redis'
import { careFor, createRegistry } from '@wattle/service'
import { eventually } from '@wattle/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildUser } from '../src/app.ts'
import { userWarming } from '../src/warming.ts'
import { startUser, type UserWorld } from './world.ts'

let world: UserWorld
const running: { stop(): Promise<void> }[] = []
beforeEach(async () => {
  world = await startUser()
})
afterEach(async () => {
  for (const copy of running.splice(0)) await copy.stop()
  await world.stop()
})

/** Another process of the service, looked after as in main.ts. */
async function startCopy() {
  const { log, database } = world.deps
  const registry = createRegistry('user')
  const redis = connectRedis({ url: world.redisServer.urlFor('user'), name: 'copy', log })
  const keys = keySpace({ environment: 'test', service: 'user' })
  const cache = createCache({ redis, keys, log, registry })
  const { app, cache: plan } = await buildUser({ ...world.deps, registry, redis, cache })
  const closers: (() => unknown)[] = []
  const care = careFor(app, {
    cache,
    onClose: (_name, close) => void closers.push(close),
    ...userWarming({ plan, database, now: Date.now }),
    // Every read is looked at, and none of it by itself.
    audit: { sampleEvery: 1, rate: 1_000, settleMs: 20, everyMs: 600_000 },
  })
  const copy = {
    cache,
    care,
    plan,
    registry,
    /** The answer to this person, and where it came from. */
    async get(url: string, { tokens }: { tokens: Tokens }) {
      const headers = { authorization: await world.authorizationOf(tokens.accessToken) }
      const reply = await app.inject({ url, headers })
      return { status: reply.statusCode, from: reply.headers['x-cache-status'], body: reply.json() }
    },
    async runsOf(job: string) {
      return (await care.warming.status()).find(({ name }) => name === job)?.past ?? []
    },
    async stop() {
      await Promise.all(closers.map((close) => close()))
      await app.close()
      cache.close()
      await redis.close()
    },
  }
  running.push(copy)
  return copy
}

const rename = (id: string, name: string) =>
  world.postgres.query('update users set name = $2 where id = $1', [id, name])

describe('W2 at the start of the user service', () => {
  test('whoever was seen lately finds profile and preferences in an empty cache, loaded by one process of three', async () => {
    const today = await world.loggedIn()
    const thisWeek = await world.loggedIn()
    const longAgo = await world.loggedIn()
    const age = `update sessions set last_seen_at = now() - $2::interval where user_id = $1`
    await world.postgres.query(age, [thisWeek.profile.id, '3 days'])
    await world.postgres.query(age, [longAgo.profile.id, '8 days'])

    const copies = await Promise.all([startCopy(), startCopy(), startCopy()])
    for (const copy of copies)
      for (const [job, warmed] of [
        ['seen-today', 2],
        ['seen-this-week', 1],
      ] as const)
        await eventually(async () => {
          expect(await copy.runsOf(job)).toMatchObject([{ state: 'done', warmed, failed: 0 }])
        })
    const [first] = copies
    expect(await first.get('/me', today)).toMatchObject({ from: 'HIT', body: today.profile })
    expect(await first.get('/me/preferences', today)).toMatchObject({ status: 200, from: 'HIT' })
    expect(await first.get('/me', thisWeek)).toMatchObject({ from: 'HIT', body: thisWeek.profile })
    expect(await first.get('/me', longAgo)).toMatchObject({ from: 'MISS' })
  })
})

describe('C23 while something is away', () => {
  test('a start without Redis serves from the database, and warms once it is there', async () => {
    const person = await world.loggedIn()
    await world.redisServer.kill()
    const copy = await startCopy()
    expect(await copy.get('/me', person)).toMatchObject({ from: 'BYPASS', body: person.profile })
    await world.redisServer.restart()
    await eventually(
      async () => expect(await copy.runsOf('seen-today')).toMatchObject([{ state: 'done' }]),
      { withinMs: 15_000 },
    )
    const later = await startCopy()
    await eventually(() => expect(later.cache.synchronized).toBe(true))
    expect(await later.get('/me', person)).toMatchObject({ from: 'HIT' })
  }, 40_000)

  test('without PostgreSQL warming and audit fail, what is cached is served, and later both go on', async () => {
    const person = await world.loggedIn()
    const copy = await startCopy()
    await eventually(async () => expect(await copy.runsOf('seen-this-week')).toHaveLength(1))
    expect(await copy.get('/me', person)).toMatchObject({ from: 'HIT' })
    await world.postgres.refuse()
    try {
      expect(await copy.care.warming.run('seen-today')).toMatchObject({ state: 'failed' })
      expect(await copy.care.audit.run()).toMatchObject({ checked: 0, undecided: 1 })
      expect(await copy.get('/me', person)).toMatchObject({ status: 200, from: 'HIT' })
    } finally {
      await world.postgres.allow()
    }
    await eventually(async () => {
      expect(await copy.care.warming.run('seen-today')).toMatchObject({ state: 'done', failed: 0 })
    })
    await copy.get('/me', person)
    expect(await copy.care.audit.run()).toMatchObject({ checked: 1, inconsistent: 0 })
  }, 40_000)
})

describe('C22 the audit of the user service', () => {
  test('finds and repairs what was changed behind the back of the cache', async () => {
    const person = await world.loggedIn()
    const copy = await startCopy()
    await eventually(async () => expect(await copy.runsOf('seen-this-week')).toHaveLength(1))
    for (const url of ['/me', '/me/preferences'])
      expect(await copy.get(url, person)).toMatchObject({ from: 'HIT' })
    await rename(person.profile.id, 'By Hand')
    await world.postgres.query('update preferences set due_reminder_days = 30 where user_id = $1', [
      person.profile.id,
    ])
    expect((await copy.get('/me', person)).body).toMatchObject({ name: person.name })
    await copy.get('/me/preferences', person)

    const report = await copy.care.audit.run()
    expect(report?.findings.map(({ kind }) => kind).toSorted()).toEqual(['preferences', 'profile'])
    expect((await copy.get('/me', person)).body).toMatchObject({ name: 'By Hand' })
    expect((await copy.get('/me/preferences', person)).body).toMatchObject({ dueReminderDays: 30 })
    const metrics = await copy.registry.metrics()
    expect(metrics).toMatch(/wattle_cache_audited_total\{[^}]*result="inconsistent"[^}]*\} 2/)
    expect(metrics).toMatch(/wattle_cache_consistency_ratio\{[^}]*\} 0\n/)
  })
})

describe('C17 hot keys of the user service', () => {
  test('the preferences of whose profile is hot are loaded before they are asked for', async () => {
    const person = await world.loggedIn()
    const { id } = person.profile
    const copy = await startCopy()
    await eventually(async () => expect(await copy.runsOf('seen-this-week')).toHaveLength(1))
    const preferences = `test:user:preferences@1:${id}`
    const client = world.redisServer.client()
    await client.unlink(preferences)
    await eventually(async () => {
      for (let reads = 0; reads < 2_000; reads++) await copy.plan.profile.get(id)
      await copy.care.hotKeys.push()
      const { keys } = await copy.care.hotKeys.top('reads', 1)
      expect(keys).toMatchObject([{ kind: 'profile@1' }])
      expect(await client.exists(preferences)).toBe(1)
    })
  })
})

describe('S1 what is cached of people', () => {
  test('profile and preferences live for an hour at most', async () => {
    const person = await world.loggedIn()
    const copy = await startCopy()
    await eventually(async () => expect(await copy.runsOf('seen-today')).toHaveLength(1))
    for (const kind of ['profile', 'preferences']) {
      const key = `test:user:${kind}@1:${person.profile.id}`
      const ttlMs = await world.redisServer.client().pttl(key)
      expect(ttlMs).toBeLessThanOrEqual(3_600_000)
      expect(ttlMs).toBeGreaterThan(0.8 * 3_600_000)
    }
  })
})
