import { describe, expect } from 'vitest'
import { tag } from '../src/index.ts'
import { held, test } from './setup.ts'

describe('C15 no stale fill', () => {
  test('a fill whose load began before the invalidation of its key is refused', async ({
    open,
  }) => {
    const { cache } = await open()
    const load = held<string>()
    const plan = cache.define({ word: { load: load.call, key: (id: string) => [id], ttl: '1m' } })

    const before = plan.word.get('a')
    const old = await load.next()
    expect((await cache.invalidate([plan.word.ref('a')])).outcome).toBe('applied')
    old.resolve('old')
    expect(await before).toBe('old')

    const after = plan.word.read('a')
    ;(await load.next()).resolve('new')
    expect(await after).toMatchObject({ value: 'new', status: 'miss' })
    expect(await plan.word.read('a')).toMatchObject({ value: 'new', status: 'hit' })
  })

  test('a fill whose load began before the invalidation of its tag is never seen', async ({
    open,
  }) => {
    const { cache } = await open()
    const load = held<string>()
    const plan = cache.define({
      word: { load: load.call, key: (id: string) => [id], ttl: '1m', tags: (id) => [`of:${id}`] },
    })

    const before = plan.word.get('a')
    const old = await load.next()
    await cache.invalidate([tag('of:a')])
    old.resolve('old')
    await before

    const after = plan.word.read('a')
    ;(await load.next()).resolve('new')
    expect(await after).toMatchObject({ value: 'new', status: 'miss' })
  })

  test('another process cannot store the old value either', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    const load = held<string>()
    const plan = { word: { load: load.call, key: (id: string) => [id], ttl: '1m' } } as const
    const [here, there] = [one.cache.define(plan), two.cache.define(plan)]

    const before = there.word.get('a')
    const old = await load.next()
    await one.cache.invalidate([here.word.ref('a')])
    old.resolve('old')
    await before

    const after = here.word.read('a')
    ;(await load.next()).resolve('new')
    expect(await after).toMatchObject({ value: 'new', status: 'miss' })
  })

  test('who asks after the invalidation does not join a load that began before it', async ({
    open,
  }) => {
    const { cache } = await open()
    const load = held<string>()
    const plan = cache.define({ word: { load: load.call, key: (id: string) => [id], ttl: '1m' } })

    const before = plan.word.get('a')
    const old = await load.next()
    await cache.invalidate([plan.word.ref('a')])
    const after = plan.word.get('a')
    ;(await load.next()).resolve('new')
    expect(await after).toBe('new')
    old.resolve('old')
    expect(await before).toBe('old')
  })
})
