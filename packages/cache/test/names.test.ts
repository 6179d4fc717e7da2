import { personal } from '@wattle/redis'
import { eventually } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { tag, type Key } from '../src/index.ts'
import { test } from './setup.ts'
import { applied, openSynchronized } from './support/caches.ts'

describe('C1 names', () => {
  test('keys that differ are entries that differ, in each tier', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    const keys: Key[] = [
      'a:b',
      ['a', 'b'],
      ['a:b', ''],
      'a',
      ['a', ''],
      '1',
      1,
      '~1',
      '',
      '~empty',
      [],
      '~',
      '*',
      'a*',
      '\0a',
      '\0a:b',
      'ŋ',
      '%u014B',
      'a%3Ab',
      [['a', 'b']],
      [null],
      'null',
      [true],
      [new Date(0)],
      [{ a: 1, b: 2 }],
      [{ a: 1 }],
      'x'.repeat(101),
      `${'x'.repeat(100)}y`,
      '__proto__',
      'constructor',
      ['~lease'],
      ['a', '~lease'],
    ]
    const [mine, theirs] = [one, two].map(({ cache }) => cache.kind<number>('thing', { ttl: '1m' }))
    if (!mine || !theirs) throw new Error('it was defined')
    for (const [at, key] of keys.entries()) expect(await mine.getOrSet(key, () => at)).toBe(at)
    for (const kind of [mine, theirs, mine, theirs]) {
      for (const [at, key] of keys.entries()) expect(await kind.getOrSet(key, () => -1)).toBe(at)
    }
    // Each can be invalidated without the others.
    for (const [at, key] of keys.entries()) {
      await applied(one, [mine.ref(key)])
      expect(await mine.getOrSet(key, () => at + 1_000)).toBe(at + 1_000)
      const next = keys[(at + 1) % keys.length] ?? 'a'
      expect(await mine.getOrSet(next, () => -1)).toBeGreaterThanOrEqual(0)
    }
  })

  test('properties in another order are the same key', async ({ open }) => {
    const { cache } = await open()
    const thing = cache.kind<string>('thing', { ttl: '1m' })
    await thing.getOrSet([{ a: 1, b: 'x' }], () => 'first')
    expect(await thing.getOrSet([{ b: 'x', a: 1, c: undefined }], () => 'second')).toBe('first')
  })

  test('what is no key is refused, with what one may be', async ({ open }) => {
    const { cache } = await open()
    const thing = cache.kind<string>('thing', { ttl: '1m' })
    for (const key of [undefined, null, {}, 1n, true, () => 1] as unknown as string[]) {
      expect(() => thing.ref(key)).toThrow('a key is a string, a number or a list of parts, not')
    }
  })

  test('a beginning names what begins with it, part by part, and nothing else', async ({
    open,
  }) => {
    const { cache, raw } = await open()
    const thing = cache.kind<string>('thing', { ttl: '1m' })
    const keys: Key[] = [
      ['user', 'a', 1],
      ['user', 'a', 2],
      ['user', 'ab', 1],
      ['user', 'a'],
      'user:a:1',
      ['users', 'a', 1],
    ]
    const read = () =>
      Promise.all(keys.map(async (key) => (await thing.read(key, () => 'x')).status))
    await read()
    const { key } = await thing.read(['user', 'a'], () => 'x')
    await eventually(async () => expect(new Set(await read())).toEqual(new Set(['hit'])))
    await eventually(async () =>
      expect(await raw.keys(`${key.slice(0, key.indexOf('user'))}*`)).toHaveLength(6),
    )
    await applied({ cache }, [thing.startingWith('user', 'a')])
    expect(await read()).toEqual(['miss', 'miss', 'hit', 'hit', 'hit', 'hit'])
    expect((await cache.invalidatePattern('thing:user:a*')).outcome).toBe('applied')
    expect(await read()).toEqual(['miss', 'miss', 'miss', 'miss', 'hit', 'hit'])
    expect((await cache.invalidatePattern('thing:user*')).outcome).toBe('applied')
    expect(await read()).toEqual(Array.from({ length: 6 }, () => 'miss'))
  })

  test.for<[pattern: string, gone: readonly number[]]>([
    ['thing:42:*', [0, 1]],
    ['thing:4*', [0, 1, 2]],
    ['thing:42:7*', [1]],
    ['thing:ada@example.org:*', [3]],
    ['thing:*', [0, 1, 2, 3]],
  ])(
    '%s finds parts that are numbers, and whole ones that are hashed',
    async ([pattern, gone], { open }) => {
      const { cache } = await open()
      const thing = cache.kind<string>('thing', { ttl: '1m', l1: false })
      const keys: Key[] = [['42', 'a'], [42, 7], [43], ['ada@example.org', 'a']]
      for (const key of keys) await thing.set(key, 'x')
      expect((await cache.invalidatePattern(pattern)).outcome).toBe('applied')
      const present = await Promise.all(keys.map((key) => thing.has(key)))
      expect(present).toEqual(keys.map((_, at) => !gone.includes(at)))
    },
  )

  test('a pattern of many parts that may be numbers is refused', async ({ open }) => {
    const { cache } = await open()
    cache.kind<string>('thing', { ttl: '1m' })
    const pattern = `thing:${'1:'.repeat(20)}*`
    await expect(cache.invalidatePattern(pattern)).rejects.toThrow(/use startingWith/)
  })

  test('a beginning without parts is that of every key', async ({ open }) => {
    const { cache } = await open()
    const thing = cache.kind<string>('thing', { ttl: '1m' })
    for (const key of ['a', ['b', 1]] as const) await thing.set(key, 'x')
    expect((await cache.invalidate([thing.startingWith()])).outcome).toBe('applied')
    expect([await thing.has('a'), await thing.has(['b', 1])]).toEqual([false, false])
  })

  test('what is personal stands nowhere in clear: not in keys, tags, messages, log or outcome', async ({
    server,
  }) => {
    const service = 'private'
    await using one = await openSynchronized({ url: server.url, service })
    const raw = server.client()
    const heard: string[] = []
    await raw.subscribe(`test:${service}:invalidations@1`)
    raw.on('message', (_channel: string, message: string) => heard.push(message))
    const plan = one.cache.define({
      account: {
        load: (_phone: string, _email: string) => Promise.resolve('x'),
        key: (phone) => [personal(phone)],
        tags: (_phone, email) => [`of:${email}`, email],
        ttl: '1m',
      },
      byEmail: {
        load: (_email: string) => Promise.resolve('x'),
        key: (email) => [email],
        ttl: '1m',
      },
    })
    const [phone, email] = ['+2348012345678', 'ada@example.com']
    const { key } = await plan.account.read(phone, email)
    const other = await plan.byEmail.read(email)
    await applied(one, [
      plan.account.ref(phone, email),
      plan.byEmail.ref(email),
      tag(email),
      tag(`of:${email}`),
      plan.account.startingWith(personal(phone)),
    ])
    await one.cache.invalidatePattern(`byEmail:${email}*`)
    await eventually(() => expect(heard.length).toBeGreaterThan(0))
    const reader = server.client()
    const logged = await reader.lrange(`test:${service}:invalidations@1:log`, 0, -1)
    const seen = [
      key,
      other.key,
      ...heard,
      ...logged,
      ...(await reader.keys('*')),
      ...one.log.lines,
      ...(await reader.zrange(`test:${service}:tags@1:~`, '0', '-1')),
    ].join('\n')
    for (const secret of ['8012345678', 'ada', 'example']) expect(seen).not.toContain(secret)
  })
})
