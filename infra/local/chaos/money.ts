import { eventually, startSentinelGroup } from '@wattle/testkit'
import { startServices, type Services } from '../test/services.ts'
import { startHavoc } from './havoc.ts'
import { createPayer, type Payer } from './payer.ts'
import { randomFrom } from '@wattle/testkit'

const calmMs = 30_000
const billTotalMinor = 10_000

export type MoneyReport = {
  readonly seed: number
  readonly payments: Readonly<Record<string, number>>
  readonly requests: number
  readonly seconds: number
  readonly faults: Readonly<Record<string, number>>
  /** Milliseconds of calm until everything was at rest. */
  readonly atRestAfterMs: number
  /** What was promised and did not hold; empty when all is well. */
  readonly violations: readonly string[]
}

/**
 * Clients pay bills through the gateway while services and both Redis masters are killed and frozen at random. Then, after
 * at most 30 s of calm, the databases of both services are held against each other, the processor's own books, and
 * what every client was told.
 */
export async function runMoney({
  payments,
  clients,
  seed,
  say,
}: {
  payments: number
  clients: number
  seed: number
  say: (line: string) => void
}): Promise<MoneyReport> {
  const random = randomFrom(seed)
  await using cache = await startSentinelGroup({ group: 'cache' })
  await using state = await startSentinelGroup({ group: 'state' })
  await using services = await startServices({
    cacheUrlFor: cache.urlFor,
    stateUrlFor: state.urlFor,
    env: { WATTLE_PAYMENT_CONFIRM_WITHIN_MS: '20000', WATTLE_LOG_LEVEL: 'warn' },
  })
  const payers: Payer[] = []
  while (payers.length < clients) {
    payers.push(await createPayer({ api: services.api, number: payers.length, random }))
  }
  const perClient = Math.ceil(payments / clients)
  const bills = await addBills(services, payers, Math.ceil(perClient / 3))
  await services.databases.billing.query(
    `insert into coupons (code, folded_code, percent_bp, use_limit) values ('chaos', 'chaos', 1000, 10)`,
  )

  const started = performance.now()
  let done = 0
  const progress = setInterval(() => say(`${done} of ${payments} payments …`), 10_000)
  const groups = { cache, state }
  const havoc = startHavoc({ services, groups, random, say: (what) => say(`  ${what}`) })
  try {
    await Promise.all(
      payers.map(async (payer, index) => {
        const own = bills[index] ?? []
        for (let turn = 0; turn < perClient; turn++) {
          const bill = own[turn % own.length] ?? ''
          await payer.pay(
            bill,
            random.chance(0.5) ? billTotalMinor : 1 + random.below(billTotalMinor),
          )
          done++
        }
      }),
    )
  } finally {
    clearInterval(progress)
    await havoc.stop()
  }
  const calmSince = performance.now()
  const violations: string[] = []
  await eventually(() => atRest(services), { withinMs: calmMs, everyMs: 250 }).catch((cause) =>
    violations.push(`not at rest after ${calmMs / 1_000} s of calm: ${cause}`),
  )
  const atRestAfterMs = Math.round(performance.now() - calmSince)
  violations.push(...(await audit(services, payers)))
  const rows = await services.databases.payment.query(
    'select state::text, count(*)::int as n from payments group by 1 order by 1',
  )
  return {
    seed,
    payments: Object.fromEntries(rows.map(({ state, n }) => [String(state), Number(n)])),
    requests: payers.reduce((sum, payer) => sum + payer.requests(), 0),
    seconds: Math.round((calmSince - started) / 1_000),
    faults: havoc.counts,
    atRestAfterMs,
    violations,
  }
}

/** Open bills of 100.00 for each payer, as their provider would have sent them. */
async function addBills(services: Services, payers: readonly Payer[], each: number) {
  const { billing } = services.databases
  const [provider] = await billing.query('select id from providers order by id limit 1')
  const bills: string[][] = []
  for (const [index, { userId }] of payers.entries()) {
    const rows = await billing.query(`
      with account as (
        insert into utility_accounts (id, user_id, provider_id, customer_number)
        values ('acc_' || gen_random_uuid(), '${userId}', '${String(provider?.['id'])}', '${70_000_000 + index}')
        returning *
      ), bill as (
        insert into bills (id, user_id, provider_id, customer_number, lifecycle, currency, total_minor,
          period_start, period_end, due_date, issued_at)
        select 'bil_' || gen_random_uuid(), user_id, provider_id, customer_number, 'issued', 'NGN', ${billTotalMinor},
          date '2020-01-01' + n, date '2020-01-01' + n, date '2099-01-01', now()
        from account, generate_series(1, ${each}) n
        returning id
      ), line as (
        insert into bill_lines (bill_id, position, kind, description, amount_minor)
        select id, 1, 'usage', 'Energy', ${billTotalMinor} from bill
      )
      select id from bill`)
    bills.push(rows.map((row) => String(row['id'])))
  }
  return bills
}

/** Fails while something is still under way. */
async function atRest({ databases: { payment, billing } }: Services): Promise<void> {
  const open = await payment.query(`
    select 'payment ' || id || ' is ' || state as what from payments where state in ('requires_confirmation', 'processing', 'unknown')
    union all select 'unsent event ' || type || ' of ' || subject from outbox where sent_at is null`)
  const held = await billing.query(
    `select 'reservation of ' || payment_id as what from reservations where state = 'reserved'`,
  )
  const all = [...open, ...held].map(({ what }) => String(what))
  if (all.length > 0) throw new Error(`${all.length}: ${all.slice(0, 5).join('; ')}`)
}

async function audit(services: Services, payers: readonly Payer[]): Promise<string[]> {
  const { payment, billing } = services.databases
  const violations = payers.flatMap((payer) => payer.unexpected.map((what) => `answered ${what}`))
  const complain = async (database: typeof payment, what: string, sql: string) => {
    const rows = await database.query(sql)
    if (rows.length > 0)
      violations.push(`${what}: ${rows.length}, such as ${JSON.stringify(rows[0])}`)
  }

  await complain(
    payment,
    'the ledger does not balance',
    'select transaction_id, currency, sum(amount_minor) from ledger_entries group by 1, 2 having sum(amount_minor) <> 0',
  )
  await complain(
    payment,
    'the processor took something else than the payment says',
    `select p.id, p.state, c.outcome, c.amount_minor, p.charge_minor from payments p
       full join sandbox_charges c on c.key = p.id
      where (coalesce(c.outcome::text, '') = 'succeeded') <> (coalesce(p.state::text, '') = 'succeeded')
         or (c.outcome::text = 'succeeded' and c.amount_minor <> p.charge_minor)`,
  )
  await complain(
    billing,
    'a bill was paid or held beyond its total',
    'select id from bills where paid_minor + reserved_minor > total_minor or reserved_minor <> 0',
  )
  await complain(
    billing,
    'a coupon was used more often than it may',
    'select id, uses from coupons where uses > use_limit',
  )

  const succeeded = await payment.query(
    `select bill_id, sum(amount_minor)::bigint::text as paid from payments where state = 'succeeded' group by 1`,
  )
  const bills = await billing.query(
    `select id, paid_minor::text as paid from bills where paid_minor > 0 and period_start >= '2020-01-01'`,
  )
  const paid = new Map(bills.map((row) => [row['id'], row['paid']]))
  for (const row of succeeded) {
    if (paid.get(row['bill_id']) !== row['paid']) {
      violations.push(
        `bill ${String(row['bill_id'])}: ${String(row['paid'])} was paid, ${String(paid.get(row['bill_id']))} is noted`,
      )
    }
    paid.delete(row['bill_id'])
  }
  for (const [bill, amount] of paid)
    violations.push(`bill ${String(bill)}: ${String(amount)} noted, nothing paid`)

  const ended = await billing.query('select payment_id, state::text from reservations')
  const reservations = new Map(ended.map((row) => [row['payment_id'], row['state']]))
  for (const row of await payment.query('select id, state::text from payments')) {
    const wanted = row['state'] === 'succeeded' ? 'committed' : 'released'
    const found = reservations.get(row['id'])
    if (found !== wanted)
      violations.push(`reservation of ${String(row['id'])} is ${String(found)}, not ${wanted}`)
  }

  const final = new Set(['succeeded', 'failed', 'canceled'])
  for (const payer of payers) {
    const history = await payer.history()
    for (const { id, state, answers } of payer.acknowledged.values()) {
      const found = history.get(id)
      if (found === undefined) violations.push(`acknowledged payment ${id} is not in the history`)
      else if (final.has(state) && found !== state) {
        violations.push(
          `payment ${id} was acknowledged as ${[...answers].join(', ')}, and is ${found}`,
        )
      }
    }
  }
  return violations
}
