import { AppError, newId, type BillSummary, type Provider } from '@wattle/contracts'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Biller } from '../src/biller.ts'
import { sandboxBiller } from '../src/sandbox-biller.ts'
import { allPages, untilHit } from './fixtures.ts'
import { startBilling, startMs, type BillingWorld, type Person } from './world.ts'

let world: BillingWorld
let person: Person
let providers: Provider[]
let fault: Biller['recentBills'] | undefined
beforeAll(async () => {
  const sandbox = sandboxBiller({ now: () => startMs })
  const biller: Biller = {
    recentBills: (account, signal) => (fault ?? sandbox.recentBills)(account, signal),
  }
  world = await startBilling({ biller })
  providers = (await world.app.inject('/providers')).json<{ items: Provider[] }>().items
})
afterAll(() => world.stop())
beforeEach(() => {
  fault = undefined
  person = world.person()
})

const providerOf = (utility: string) => providers.find((item) => item.utility === utility)?.id
let numbers = 44_000_000_000
const newNumber = () => String((numbers += 1))
const accountsOf = async (as: Person) =>
  (await as.get('/bills/accounts')).json<{ items: unknown[] }>().items

describe('S3 linking an account', () => {
  test('answers 201 with the account, and its bills are in the list at once, also where the list was cached', async () => {
    await untilHit(() => person.get('/bills'))

    const providerId = providerOf('electricity')
    const customerNumber = newNumber()
    const reply = await person.link({ providerId, customerNumber })
    expect(reply.statusCode).toBe(201)
    expect(reply.json()).toEqual({
      id: expect.stringMatching(/^acc_/) as string,
      providerId,
      customerNumber,
      createdAt: new Date(startMs).toISOString(),
    })

    const { items } = (await person.get('/bills')).json<{ items: BillSummary[] }>()
    expect(items).toHaveLength(6)
    for (const item of items) expect(item).toMatchObject({ providerId, customerNumber })
    expect(await accountsOf(person)).toEqual([reply.json()])
  })

  test('of each utility brings six months of bills', async () => {
    for (const utility of ['electricity', 'water', 'gas', 'internet']) {
      const link = { providerId: providerOf(utility), customerNumber: newNumber() }
      expect((await person.link(link)).statusCode).toBe(201)
      expect(await allPages(person, { utility })).toHaveLength(6)
    }
    expect(await accountsOf(person)).toHaveLength(4)
  })

  test('twice is a 409, and so is one that someone else has, with the same words', async () => {
    const link = { providerId: providerOf('gas'), customerNumber: newNumber() }
    await person.link(link)
    const other = world.person()
    const replies = [await person.link(link), await other.link(link)]
    const problems = replies.map((reply) => {
      const { requestId: _, ...problem } = reply.json<Record<string, unknown>>()
      return { status: reply.statusCode, problem }
    })
    expect(problems[0]).toMatchObject({ status: 409, problem: { code: 'ACCOUNT_LINKED' } })
    expect(problems[1]).toEqual(problems[0])
    expect(JSON.stringify(problems)).not.toContain(person.userId)
    expect(await accountsOf(other)).toEqual([])
    expect(await allPages(other)).toEqual([])
  })

  test('ten at once, by two people, link it once', async () => {
    const link = { providerId: providerOf('water'), customerNumber: newNumber() }
    const people = [person, world.person()]
    const replies = await Promise.all(
      Array.from({ length: 5 }, () => people.map((one) => one.link(link))).flat(),
    )
    const statuses = replies.map((reply) => reply.statusCode)
    expect(statuses.filter((status) => status === 201)).toHaveLength(1)
    expect(statuses.filter((status) => status === 409)).toHaveLength(9)
    const bills = await Promise.all(people.map((one) => allPages(one)))
    expect(bills.map((items) => items.length).toSorted((a, b) => a - b)).toEqual([0, 6])
  })

  test('the same number at two providers are two accounts', async () => {
    const customerNumber = newNumber()
    for (const utility of ['water', 'gas']) {
      const reply = await person.link({ providerId: providerOf(utility), customerNumber })
      expect(reply.statusCode).toBe(201)
    }
  })

  test('at a provider that does not exist, or with a number that it does not know, is a 404', async () => {
    const nowhere = await person.link({ providerId: newId('prv'), customerNumber: newNumber() })
    const unknown = await person.link({ providerId: providerOf('gas'), customerNumber: '00000000' })
    expect([nowhere.statusCode, unknown.statusCode]).toEqual([404, 404])
    expect(await accountsOf(person)).toEqual([])
  })

  test('when the provider fails links nothing, and can be tried again', async () => {
    const link = { providerId: providerOf('gas'), customerNumber: newNumber() }
    fault = async () => {
      throw new AppError('BAD_GATEWAY', 'The provider answered wrongly.')
    }
    expect((await person.link(link)).statusCode).toBe(502)
    expect(await accountsOf(person)).toEqual([])
    fault = undefined
    expect((await person.link(link)).statusCode).toBe(201)
  })

  test('when the provider is slower than the deadline links nothing', async () => {
    const link = { providerId: providerOf('gas'), customerNumber: newNumber() }
    const answered = Promise.withResolvers<void>()
    fault = async (_account, signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      answered.resolve()
      return []
    }
    const reply = await person.link(link, { 'x-deadline-ms': '100' })
    expect(reply.statusCode).toBe(504)
    await answered.promise
    fault = undefined
    // the number is free, so what came too late was not stored
    expect((await person.link(link)).statusCode).toBe(201)
  })

  test('with a bill that cannot be right is a 502 and links nothing', async () => {
    const link = { providerId: providerOf('gas'), customerNumber: newNumber() }
    fault = async () => [
      {
        lifecycle: 'issued',
        periodStart: '2026-10-01',
        periodEnd: '2026-10-31',
        dueDate: '2026-11-14',
        issuedAt: '2026-11-01T05:00:00.000Z',
        paidMinor: 11,
        lines: [{ kind: 'usage', description: 'Gas', amountMinor: 10 }],
      },
    ]
    expect((await person.link(link)).statusCode).toBe(502)
    expect(await accountsOf(person)).toEqual([])
  })

  test.each([
    ['customerNumber', { customerNumber: '1234567' }],
    ['customerNumber', { customerNumber: '12345678901234' }],
    ['customerNumber', { customerNumber: `1' or '1'='1` }],
    ['customerNumber', { customerNumber: 12_345_678 }],
    ['customerNumber', { customerNumber: '١٢٣٤٥٦٧٨' }],
    ['providerId', { providerId: 'prv_1' }],
    ['providerId', { providerId: null }],
    ['userId', { userId: newId('usr') }],
  ])('with a bad %s is a 400 that names it', async (field, change) => {
    const body = { providerId: providerOf('gas'), customerNumber: newNumber(), ...change }
    const reply = await person.link(body)
    expect(reply.statusCode).toBe(400)
    expect(reply.json()).toMatchObject({ errors: [{ in: 'body', field }] })
  })

  test('needs a token', async () => {
    const reply = await world.app.inject({ method: 'POST', url: '/bills/accounts', payload: {} })
    expect(reply.statusCode).toBe(401)
  })

  test('leaves no customer number in the log', async () => {
    const customerNumber = newNumber()
    await person.link({ providerId: providerOf('gas'), customerNumber })
    await person.link({ providerId: providerOf('gas'), customerNumber })
    expect(world.logLines.join('')).not.toContain(customerNumber)
  })
})
