import { describe, expect } from 'vitest'
import { eventually } from '@wattle/testkit'
import { tag, type Cache, type Kind, type Ref } from '../src/index.ts'
import { test } from './setup.ts'
import { inL1, inL2, openSynchronized } from './support/caches.ts'

const kindAt = (cache: Cache, version: number) =>
  cache.kind<string>('word', { ttl: '1m', l1: false, version })

type Act = (word: Kind<string>, cache: Cache) => Promise<unknown>
const acts: [string, Act][] = [
  ['invalidate', (word, cache) => cache.invalidate([word.ref(['g', 'a'])])],
  ['delete', (word) => word.delete(['g', 'a'])],
  ['set', (word) => word.set(['g', 'a'], 'new')],
  ['setMany', (word) => word.setMany([[['g', 'a'], 'new']])],
  ['update', (word) => word.update(['g', 'a'], () => Promise.resolve('new'))],
  ['compareAndSet', (word) => word.compareAndSet(['g', 'a'], 'old', 'new')],
  ['a tag', (_, cache) => cache.invalidate([tag('t')])],
  ['all()', (word, cache) => cache.invalidate([word.all()])],
  ['startingWith', (word, cache) => cache.invalidate([word.startingWith('g')])],
  ['invalidatePattern', (_, cache) => cache.invalidatePattern('word:g:*')],
]

describe('C1 two releases side by side', () => {
  test.for(acts)('%s in one is heard by the other, older or newer', async ([, act], { open }) => {
    for (const [writes, reads] of [
      [2, 1],
      [1, 2],
    ] as const) {
      const [one, two] = [await open(), await open()]
      const [mine, theirs] = [kindAt(one.cache, writes), kindAt(two.cache, reads)]
      const load = () => 'old'
      for (const word of [mine, theirs]) {
        await inL2(() => word.read(['g', 'a'], load, { tags: ['t'] }))
      }
      await act(mine, one.cache)
      await eventually(async () => expect(await theirs.peek(['g', 'a'])).toBeUndefined())
      await Promise.all([one.close(), two.close()])
    }
  })

  test('they do not see each other’s entries', async ({ open }) => {
    const { cache } = await open()
    const [first, second] = [kindAt(cache, 1), kindAt(cache, 2)]
    await first.set('a', 'of the first')
    expect(await second.peek('a')).toBeUndefined()
    expect(await second.getOrSet('a', () => 'of the second')).toBe('of the second')
  })

  test.for([
    'null',
    '5',
    '[]',
    'not JSON',
    '{}',
    '{"ms":"now"}',
    '{"ms":1,"e":{"word":5}}',
    '{"ms":1,"t":"x"}',
    '{"ms":1,"p":[5]}',
  ])(
    'a message that this release cannot read stands for everything: %s',
    async (payload, { server }) => {
      const service = 'foreign'
      await using one = await openSynchronized({ url: server.url, service })
      const word = one.cache.kind<string>('word', { ttl: '1m' })
      await word.getOrSet('a', () => 'old')
      await inL1(() => word.read('a', () => 'x'))
      const raw = server.client()
      const number = await raw.incr('test:foreign:invalidations@1:sequence')
      await raw.lpush('test:foreign:invalidations@1:log', `${number} ${payload}`)
      await eventually(async () =>
        expect(await word.read('a', () => 'x')).toMatchObject({ tier: 'l2' }),
      )
      const refs: Ref[] = [word.ref('a')]
      await one.cache.invalidate(refs)
    },
  )
})
