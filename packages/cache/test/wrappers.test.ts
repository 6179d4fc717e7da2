import { describe, expect } from 'vitest'
import { cacheable, evicts, tag } from '../src/index.ts'
import { held, test } from './setup.ts'

type Bill = { id: string; amountMinor: number }

describe('C21 cacheable(fn)', () => {
  test('a function is called once for equal arguments, as long as its value is kept', async ({
    open,
  }) => {
    const { cache } = await open()
    let calls = 0
    const bill = cacheable(async (id: string, page: number) => ({ id, page, calls: ++calls }), {
      kind: cache.kind('bill', { ttl: '1m' }),
    })
    expect(await bill('a', 1)).toEqual({ id: 'a', page: 1, calls: 1 })
    expect(await bill('a', 1)).toEqual({ id: 'a', page: 1, calls: 1 })
    expect(await bill('a', 2)).toEqual({ id: 'a', page: 2, calls: 2 })
  })

  test('concurrent calls share one', async ({ open }) => {
    const { cache } = await open()
    const load = held<string>()
    const word = cacheable(load.call, { kind: cache.kind<string>('word', { ttl: '1m' }) })
    const both = Promise.all([word('a'), word('a')])
    ;(await load.next()).resolve('x')
    expect(await both).toEqual(['x', 'x'])
    expect(load.calls).toBe(1)
  })

  test('`key` and `tags` are made from the arguments; `ref` names the entry', async ({ open }) => {
    const { cache } = await open()
    let calls = 0
    const bill = cacheable(async (of: { user: string; note: string }) => `${of.user} ${++calls}`, {
      kind: cache.kind<string>('bill', { ttl: '1m' }),
      key: ({ user }) => user,
      tags: ({ user }) => [`user:${user}`],
    })
    await bill({ user: 'u', note: 'x' })
    expect(await bill({ user: 'u', note: 'y' })).toBe('u 1')
    await cache.invalidate([bill.ref({ user: 'u', note: '' })])
    expect(await bill({ user: 'u', note: '' })).toBe('u 2')
    await cache.invalidate([tag('user:u')])
    expect(await bill({ user: 'u', note: '' })).toBe('u 3')
  })

  test('`this`, the name and a rejection go through', async ({ open }) => {
    const { cache } = await open()
    const source = {
      prefix: 'no',
      bill: cacheable(
        async function findBill(this: { prefix: string }, id: string): Promise<string> {
          throw new Error(`${this.prefix} ${id}`)
        },
        { kind: cache.kind<string>('bill', { ttl: '1m' }) },
      ),
    }
    expect(source.bill.name).toBe('findBill')
    await expect(source.bill('a')).rejects.toThrow('no a')
    await expect(source.bill('a')).rejects.toThrow('no a')
  })
})

describe('C21 evicts(fn)', () => {
  test('who has awaited the write does not read what was there before', async ({ open }) => {
    const [one, two] = [await open(), await open()]
    const source = new Map([['a', 1]])
    const amount = cacheable(async (id: string) => source.get(id), {
      kind: one.cache.kind<number | undefined>('amount', { ttl: '1m' }),
    })
    const change = evicts(
      async (id: string, to: number) => {
        source.set(id, to)
        return { id }
      },
      { cache: two.cache, refs: ([id], result) => [amount.ref(result?.id ?? id)] },
    )
    expect(await amount('a')).toBe(1)
    expect(await change('a', 2)).toEqual({ id: 'a' })
    // The write was another process's: its message may be on the way.
    await expect.poll(() => amount('a')).toBe(2)
  })

  test('a write that rejected may have happened: what its arguments name is invalidated', async ({
    open,
  }) => {
    const { cache } = await open()
    let amountMinor = 1
    const bill = cacheable(async (id: string): Promise<Bill> => ({ id, amountMinor }), {
      kind: cache.kind<Bill>('bill', { ttl: '1m' }),
    })
    const change = evicts(
      async (_id: string): Promise<void> => {
        amountMinor = 2
        throw new Error('the connection was lost at the commit')
      },
      { cache, refs: ([id]) => [bill.ref(id)] },
    )
    await bill('a')
    await expect(change('a')).rejects.toThrow('lost at the commit')
    expect(await bill('a')).toEqual({ id: 'a', amountMinor: 2 })
  })

  test('refs that cannot be made from arguments alone do not hide why the write failed', async ({
    open,
  }) => {
    const { cache } = await open()
    const change = evicts(
      async (): Promise<Bill> => {
        throw new Error('the write failed')
      },
      { cache, refs: (_args, result) => [tag((result as Bill).id)] },
    )
    await expect(change()).rejects.toThrow('the write failed')
  })
})
