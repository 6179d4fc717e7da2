import type { Provider } from '@wattle/contracts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { untilHit } from './fixtures.ts'
import { startBilling, type BillingWorld } from './world.ts'

let world: BillingWorld
beforeAll(async () => {
  world = await startBilling()
})
afterAll(() => world.stop())

const providers = async (query: Record<string, string> = {}) => {
  const reply = await world.app.inject({ method: 'GET', url: '/providers', query })
  expect(reply.statusCode).toBe(200)
  return reply.json<{ items: Provider[] }>().items
}

describe('S3 providers', () => {
  test('a freshly migrated database has them: the eleven electricity companies, water, gas, internet', async () => {
    const items = await providers()
    const count = (utility: string) => items.filter((item) => item.utility === utility).length
    expect(count('electricity')).toBe(11)
    for (const utility of ['water', 'gas', 'internet']) expect(count(utility)).toBeGreaterThan(4)
    expect(new Set(items.map((item) => item.id)).size).toBe(items.length)
  })

  test('can be narrowed to one utility', async () => {
    const all = await providers()
    for (const utility of ['electricity', 'water', 'gas', 'internet']) {
      expect(await providers({ utility })).toEqual(all.filter((item) => item.utility === utility))
    }
  })

  test('need no login, and the second read comes from the cache and says so', async () => {
    const ask = () => world.app.inject('/providers?utility=gas')
    const first = await ask()
    const second = await untilHit(ask)
    expect(second.headers['x-cache-key']).toMatch(/^test:billing:providers/)
    expect(second.headers['cache-status']).toMatch(/^wattle-billing; hit/)
    expect(Number(second.headers['x-cache-ttl'])).toBeGreaterThan(20 * 3_600)
    expect(second.body).toBe(first.body)
  })

  test('of an unknown utility are a 400 that names the field', async () => {
    const reply = await world.app.inject('/providers?utility=coal')
    expect(reply.statusCode).toBe(400)
    expect(reply.json()).toMatchObject({ errors: [{ in: 'query', field: 'utility' }] })
  })
})
