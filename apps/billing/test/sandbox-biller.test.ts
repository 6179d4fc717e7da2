import { newId, type Provider, type Utility } from '@wattle/contracts'
import { assert, constantFrom, date, property, stringMatching } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addDays, dayAt, monthBefore } from '../src/calendar.ts'
import { sandboxBiller, sandboxBills } from '../src/sandbox-biller.ts'

const utilities: Utility[] = ['electricity', 'water', 'gas', 'internet']
const provider = (utility: Utility): Provider => ({
  id: newId('prv'),
  name: 'Some company',
  utility,
  region: 'Lagos',
  currency: 'NGN',
})
const days = date({
  min: new Date('2020-01-01'),
  max: new Date('2035-12-31'),
  noInvalidDate: true,
}).map((moment) => moment.toISOString().slice(0, 10))
const numbers = stringMatching(/^[0-9]{8,13}$/)

describe('the sandbox biller', () => {
  test('has six consecutive months for every number and day, and what it states is possible', () => {
    const anyUtility = constantFrom(...utilities)
    assert(
      property(anyUtility, numbers, days, (utility, customerNumber, today) => {
        const bills = sandboxBills({ provider: provider(utility), customerNumber, today })
        const issued = bills.filter((bill) => bill.lifecycle !== 'draft')
        expect(issued.map((bill) => bill.periodStart)).toEqual(
          [6, 5, 4, 3, 2, 1].map((age) => monthBefore(today, age)),
        )
        for (const bill of bills) {
          const total = bill.lines.reduce((sum, line) => sum + line.amountMinor, 0)
          expect(addDays(bill.periodEnd, 1)).toBe(monthBefore(bill.periodStart, -1))
          expect(bill.dueDate > bill.periodEnd).toBe(true)
          for (const line of bill.lines) expect(Number.isSafeInteger(line.amountMinor)).toBe(true)
          expect(total).toBeGreaterThan(0)
          expect(bill.paidMinor).toBeLessThanOrEqual(total)
          expect(bill.issuedAt === null).toBe(bill.lifecycle === 'draft')
        }
        for (const { issuedAt } of issued)
          expect(dayAt(Date.parse(issuedAt ?? '')) <= today).toBe(true)
      }),
    )
  })

  test('answers the same throughout a month, and differently for another number', () => {
    const gas = provider('gas')
    const on = (today: string, customerNumber = '12345678') =>
      sandboxBills({ provider: gas, customerNumber, today })
    expect(on('2026-02-28')).toEqual(on('2026-02-01'))
    expect(on('2026-02-28')).not.toEqual(on('2026-02-28', '12345679'))
  })

  test('takes the month from its clock, as it is in Nigeria', async () => {
    const biller = sandboxBiller({ now: () => Date.parse('2026-02-28T23:30:00Z') })
    const account = { provider: provider('water'), customerNumber: '12345678' }
    const bills = await biller.recentBills(account, AbortSignal.timeout(1_000))
    expect(bills?.at(-1)?.periodStart).toBe('2026-02-01')
  })

  test('does not know the number 00000000', async () => {
    const biller = sandboxBiller({ now: Date.now })
    const account = { provider: provider('water'), customerNumber: '00000000' }
    expect(await biller.recentBills(account, AbortSignal.timeout(1_000))).toBeUndefined()
  })
})
