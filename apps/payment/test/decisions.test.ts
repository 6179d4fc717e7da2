import { readFileSync, globSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPayment, type PaymentWorld } from './world.ts'

const src = fileURLToPath(new URL('../src', import.meta.url))

/** The modules that a module imports, itself included, all the way down; those of types only are left out. */
function reachable(entry: string, seen = new Set<string>()): Set<string> {
  const name = relative(src, entry)
  if (seen.has(name)) return seen
  seen.add(name)
  const source = readFileSync(entry, 'utf8')
  const imports = source.matchAll(/^(?:import|export) (?!type)[^;'"]*?from '([^']+)'/gm)
  for (const [, target = ''] of imports) {
    if (target.startsWith('.')) reachable(resolve(dirname(entry), target), seen)
    else seen.add(target)
  }
  return seen
}

describe('S2 no money decision reads a cache:', () => {
  const deciding = ['payment', 'refund', 'ledger', 'idempotency', 'processor', 'janitor', 'sandbox']

  test.each(deciding)('nothing below src/%s can reach one', (folder) => {
    const files = globSync('*.ts', { cwd: join(src, folder) })
    expect(files.length).toBeGreaterThan(0)
    for (const file of files) {
      const modules = reachable(join(src, folder, file))
      for (const forbidden of ['cache.ts', 'app.ts', '@wattle/cache', '@wattle/redis']) {
        expect(modules, `${folder}/${file}`).not.toContain(forbidden)
      }
    }
  })

  test('and the search would find it', () => {
    expect(reachable(join(src, 'app.ts'))).toContain('@wattle/cache')
  })
})

describe('S2 with lies in every cached entry', () => {
  let world: PaymentWorld
  beforeAll(async () => {
    world = await startPayment()
  })
  afterAll(() => world.stop())

  test('payments are decided by what is true', async () => {
    const person = world.person()
    const paid = await person.create()
    const open = await person.create()
    await person.confirm(paid.id)
    for (const path of ['/payments', '/payments/recent']) {
      await eventually(async () => {
        expect((await person.get(path)).headers['x-cache-status']).toBe('HIT')
      })
    }

    // The lists now say that everything has failed and a million was refunded.
    const { client } = world.redis
    const poisoned = []
    for (const key of await client.keys('test:payment:*')) {
      if ((await client.type(key)) !== 'string') continue
      const value = await client.get(key)
      if (!value?.includes('"state":')) continue
      const lie = value
        .replaceAll(/"state":"\w+"/g, '"state":"failed"')
        .replaceAll(/"refundedMinor":\d+/g, '"refundedMinor":1000000')
      await client.set(key, lie, 'KEEPTTL')
      poisoned.push(key)
    }
    expect(poisoned.length).toBeGreaterThanOrEqual(2)
    // What the process keeps itself is dropped by this.
    world.cache.switchOff()
    world.cache.switchOn()
    const { items } = (await person.get('/payments/recent')).body as { items: unknown[] }
    expect(items).toMatchObject([{ state: 'failed' }, { state: 'failed' }])

    expect(await person.payment(paid.id)).toMatchObject({ state: 'succeeded', refundedMinor: 0 })
    expect((await person.refund(paid.id, 101)).status).toBe(409)
    expect((await person.confirm(paid.id)).status).toBe(409)
    expect((await person.cancel(open.id)).body).toMatchObject({ state: 'canceled' })
    expect((await person.refund(paid.id, 100)).status).toBe(201)
    expect((await world.verify()).body['findings']).toEqual([])
  })
})
