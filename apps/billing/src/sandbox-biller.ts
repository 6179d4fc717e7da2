import { createHash } from 'node:crypto'
import type { BillLine, Provider, Utility } from '@wattle/contracts'
import type { Biller, BillerBill } from './biller.ts'
import { addDays, dayAt, momentOf, monthBefore, type Day } from './calendar.ts'

/** Figures between these bounds, the same for the same place. */
type Dice = (label: string, from: number, to: number) => number

type Tariff = {
  /** Days from issue, on the first of the month after the period, until it is due. */
  readonly termDays: number
  readonly lines: (dice: Dice) => BillLine[]
  /** Per cent paid of a bill by its age in months; what is older than the list is paid. */
  readonly paidPercent: readonly number[]
}

const perMille = { vat: 75 }

const tariffs: Record<Utility, Tariff> = {
  electricity: {
    termDays: 14,
    paidPercent: [0, 0],
    lines: (dice) => [
      metered('Energy', dice('kWh', 90, 420), 'kWh', 20_950),
      { kind: 'fee', description: 'Meter service', amountMinor: 50_000 },
    ],
  },
  water: {
    termDays: 30,
    paidPercent: [40],
    lines: (dice) => [
      metered('Water', dice('m³', 8, 35), 'm³', 38_000),
      { kind: 'fixed', description: 'Sewerage', amountMinor: 150_000 },
    ],
  },
  gas: {
    termDays: 30,
    paidPercent: [0, 60],
    lines: (dice) => [
      metered('Gas', dice('Sm³', 15, 60), 'Sm³', 52_500),
      { kind: 'fixed', description: 'Connection', amountMinor: 100_000 },
    ],
  },
  internet: {
    termDays: 7,
    paidPercent: [],
    lines: (dice) => {
      const mbits = [30, 50, 100][dice('plan', 0, 2)] ?? 30
      return [
        {
          kind: 'fixed',
          description: `Unlimited, ${mbits} Mbit/s`,
          amountMinor: 1_200_000 + mbits * 10_000,
        },
        { kind: 'fee', description: 'Router rental', amountMinor: 100_000 },
      ]
    },
  },
}

/** An internet line was out of order then, and its bill was withdrawn. */
const voidAge = 4

/**
 * A biller that invents its answers, for development and tests: the same provider, number and month give the same
 * six months of bills, in different states, for every number but 00000000 and its like, which no one has.
 */
export function sandboxBiller({ now }: { now: () => number }): Biller {
  return {
    async recentBills({ provider, customerNumber }) {
      if (/^0+$/.test(customerNumber)) return undefined
      return sandboxBills({ provider, customerNumber, today: dayAt(now()) })
    },
  }
}

/**
 * The bills that the sandbox has for a customer: those of the six months before the month of `today`, and for
 * electricity the draft of the month itself. All dates follow from the month, so the bills are the same throughout it.
 */
export function sandboxBills(options: {
  provider: Provider
  customerNumber: string
  today: Day
}): BillerBill[] {
  const { provider, customerNumber, today } = options
  const bills: BillerBill[] = []
  for (let age = 6; age >= 1; age -= 1) {
    bills.push(billOf(provider, customerNumber, monthBefore(today, age), age))
  }
  if (provider.utility === 'electricity') {
    bills.push(billOf(provider, customerNumber, monthBefore(today, 0), 0))
  }
  return bills
}

function billOf(
  provider: Provider,
  customerNumber: string,
  periodStart: Day,
  age: number,
): BillerBill {
  const tariff = tariffs[provider.utility]
  const lines = withTax(tariff.lines(diceFor(provider.id, customerNumber, periodStart)))
  const totalMinor = lines.reduce((sum, line) => sum + line.amountMinor, 0)
  const issueDay = monthBefore(periodStart, -1)
  const isVoid = provider.utility === 'internet' && age === voidAge
  const paidPercent = tariff.paidPercent[age - 1] ?? 100
  return {
    lifecycle: age === 0 ? 'draft' : isVoid ? 'void' : 'issued',
    periodStart,
    periodEnd: addDays(issueDay, -1),
    dueDate: addDays(issueDay, tariff.termDays),
    issuedAt: age === 0 ? null : momentOf(issueDay, 6),
    paidMinor: age === 0 || isVoid ? 0 : percentOf(totalMinor, paidPercent),
    lines,
  }
}

function metered(what: string, amount: number, unit: string, rateMinor: number): BillLine {
  const rate = (rateMinor / 100).toFixed(2)
  return {
    kind: 'usage',
    description: `${what}, ${amount} ${unit} at ₦${rate}`,
    amountMinor: amount * rateMinor,
  }
}

function withTax(lines: BillLine[]): BillLine[] {
  const netMinor = lines.reduce((sum, line) => sum + line.amountMinor, 0)
  const amountMinor = Math.round((netMinor * perMille.vat) / 1_000)
  return [...lines, { kind: 'tax', description: 'VAT 7.5 %', amountMinor }]
}

/** Whole naira, as people pay. */
function percentOf(totalMinor: number, percent: number): number {
  return percent === 100 ? totalMinor : Math.floor((totalMinor * percent) / 10_000) * 100
}

function diceFor(...place: string[]): Dice {
  return (label, from, to) => {
    const digest = createHash('sha256')
      .update(JSON.stringify([...place, label]))
      .digest()
    return from + (digest.readUInt32BE(0) % (to - from + 1))
  }
}
