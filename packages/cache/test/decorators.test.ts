import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { Cacheable, CacheEvict } from '../src/index.ts'
import type { Bill, billsOn, Store } from './decorated/bills.ts'
import { test } from './setup.ts'

const context = (kind: string, name: string) => ({ kind, name }) as never

describe('C21 standard decorators, called as functions', () => {
  test('@Cacheable and @CacheEvict replace a method by one that does the same through the cache', async ({
    open,
  }) => {
    const { cache } = await open()
    const kind = cache.kind<number>('amount', { ttl: '1m' })
    class Source {
      loads = 0
      async amount(id: string): Promise<number> {
        return id.length + ++this.loads
      }
      async change(_id: string): Promise<void> {}
    }
    const { amount, change } = Source.prototype
    Source.prototype.amount = Cacheable<Source, [string], number>({ kind })(
      amount,
      context('method', 'amount'),
    )
    Source.prototype.change = CacheEvict<Source, [string], void>({
      cache,
      refs: ([id]) => [kind.ref(id)],
    })(change, context('method', 'change'))

    const source = new Source()
    expect(source.amount.name).toBe('amount')
    expect([await source.amount('ab'), await source.amount('ab')]).toEqual([3, 3])
    await source.change('ab')
    expect(await source.amount('ab')).toBe(4)
  })

  test('on anything but a method, or as an experimental decorator, they refuse in one sentence', async ({
    open,
  }) => {
    const { cache } = await open()
    const kind = cache.kind<number>('amount', { ttl: '1m' })
    const decorate = Cacheable<object, [string], number>({ kind })
    const method = async () => 1
    expect(() => decorate(method, context('field', 'x'))).toThrow(
      /^@Cacheable is a standard decorator for methods, not for a field: put it on a method/,
    )
    expect(() => decorate(method, 'amount' as never)).toThrow('not for experimentalDecorators')
    const evict = CacheEvict<object, [], number>({ cache, refs: () => [] })
    expect(() => evict(method, context('getter', 'x'))).toThrow('@CacheEvict is a standard')
  })
})

describe('C21 standard decorators, compiled by tsc', { timeout: 60_000 }, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'wattle-decorators-'))
  afterAll(() => rmSync(scratch, { recursive: true, force: true }))
  let compiled: { billsOn: typeof billsOn; Store: typeof Store }

  beforeAll(async () => {
    const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
    mkdirSync(join(scratch, 'node_modules/@wattle'), { recursive: true })
    symlinkSync(here('..'), join(scratch, 'node_modules/@wattle/cache'))
    symlinkSync(here('../../../node_modules/@types'), join(scratch, 'node_modules/@types'))
    cpSync(here('decorated/bills.ts'), join(scratch, 'bills.ts'))
    writeFileSync(join(scratch, 'package.json'), '{ "type": "module" }')
    const compilerOptions = {
      target: 'es2022',
      module: 'nodenext',
      strict: true,
      // The types of the package itself are checked with it.
      noCheck: true,
      noResolve: true,
      types: [],
    }
    writeFileSync(
      join(scratch, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['bills.ts'] }),
    )
    const tsc = here('../../../node_modules/typescript/bin/tsc')
    execFileSync(process.execPath, [tsc, '-p', scratch], { stdio: 'pipe' })
    compiled = (await import(
      /* @vite-ignore */ pathToFileURL(join(scratch, 'bills.js')).href
    )) as typeof compiled
  })

  test('a decorated method loads once, and again after the decorated write', async ({ open }) => {
    const { cache } = await open()
    const bills = compiled.billsOn(cache, cache.kind<Bill>('bill', { ttl: '1m' }))
    expect(await bills.bill('a')).toEqual({ id: 'a', amountMinor: 100 })
    expect(await bills.bill('a')).toEqual({ id: 'a', amountMinor: 100 })
    expect(bills.loads).toBe(1)
    expect(await bills.change('a', 200)).toBe('a')
    expect(await bills.bill('a')).toEqual({ id: 'a', amountMinor: 200 })
    expect(bills.loads).toBe(2)
  })

  test('a class that is given its cache uses that of the instance', async ({ open }) => {
    const [one, two] = [await open(), await open({})]
    const stores = [one, two].map(
      ({ cache }, at) =>
        new compiled.Store({ cache, bills: cache.kind(`bill${at}`, { ttl: '1m' }) }),
    )
    for (const store of stores) {
      await store.bill('a')
      expect(await store.bill('a')).toEqual({ id: 'a', amountMinor: 1 })
      await store.touch('a')
      expect(await store.bill('a')).toEqual({ id: 'a', amountMinor: 2 })
    }
  })
})
