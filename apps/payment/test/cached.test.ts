import type { Payment } from '@wattle/contracts'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPayment, type PaymentWorld } from './world.ts'

const minuteMs = 60_000
/** The four bytes with which a frame of zstd begins. */
const zstdMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])

let world: PaymentWorld
beforeAll(async () => {
  world = await startPayment()
})
afterAll(() => world.stop())

/** The entry that this person has of a kind, as it stands in Redis. */
const storedOf = (kind: string, userId: string) =>
  eventually(async () => {
    const { client } = world.redis
    const [key] = await client.keys(`*:${kind}@*:${userId}*`)
    const bytes = key === undefined ? null : await client.getBuffer(key)
    if (key === undefined || bytes === null) throw new Error(`no ${kind} of ${userId}`)
    return { bytes, ttlMs: await client.pttl(key) }
  })

describe('S2 what is cached of payments', () => {
  test('a page of the history is stored compressed, smaller than half of itself, and comes back as it was', async () => {
    const person = world.person()
    for (let n = 0; n < 20; n++) await person.create()
    const loaded = await person.get('/payments')
    const json = JSON.stringify(loaded.body['items'])

    const { bytes } = await storedOf('history', person.userId)
    expect(bytes.includes(zstdMagic)).toBe(true)
    expect(bytes.includes('requires_confirmation')).toBe(false)
    expect(bytes.length).toBeLessThan(json.length / 2)
    const again = await person.get('/payments')
    expect(again.headers['x-cache-status']).toBe('HIT')
    expect(again.body).toEqual(loaded.body)
  })

  test('what gains nothing by it is stored as it is', async () => {
    const person = world.person()
    const { id } = await person.create()
    await person.get('/payments')
    const { bytes } = await storedOf('history', person.userId)
    const stored = bytes.subarray(bytes.indexOf('[{')).toString()
    expect(JSON.parse(stored) as Payment[]).toMatchObject([{ id }])
  })

  test('the history lives for 15 minutes and the latest payments for 5, at most', async () => {
    const person = world.person()
    await person.create()
    await person.get('/payments')
    await person.get('/payments/recent')
    for (const [kind, minutes] of [
      ['history', 15],
      ['recent', 5],
    ] as const) {
      const { ttlMs } = await storedOf(kind, person.userId)
      expect(ttlMs).toBeLessThanOrEqual(minutes * minuteMs)
      expect(ttlMs).toBeGreaterThan(0.8 * minutes * minuteMs)
    }
  })
})
