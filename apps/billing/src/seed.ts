import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { idSchema, newId, type Provider } from '@wattle/contracts'
import { openDatabase, type Database } from '@wattle/database'
import { ConfigError, loadConfig } from '@wattle/service'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { importBills } from './accounts-store.ts'
import { billsStore } from './bills-store.ts'
import { dayAt, type Day } from './calendar.ts'
import { databaseUrl } from './config.ts'
import { addCoupons } from './coupons/coupon-store.ts'
import { demoCoupons } from './coupons/demo-coupons.ts'
import { sandboxBills } from './sandbox-biller.ts'
import type { DB } from './schema.ts'

/** Who supplies a household, by where it is. */
const areas = [
  ['Ikeja Electric', 'Lagos Water Corporation', 'Gaslink Nigeria', 'Spectranet'],
  [
    'Eko Electricity Distribution Company',
    'Lagos Water Corporation',
    'Falcon Corporation',
    'Tizeti',
  ],
  ['Abuja Electricity Distribution Company', 'FCT Water Board', 'NNPC Gas Marketing', 'MTN FibreX'],
  [
    'Port Harcourt Electricity Distribution Company',
    'Port Harcourt Water Corporation',
    'Central Horizon Gas Company',
    'ipNX Nigeria',
  ],
]

const people = Compile(Type.Array(Type.Object({ id: idSchema('usr') })))

/**
 * Gives each person four linked accounts with the sandbox biller's bills: six months of electricity, water, gas and
 * internet, in every state. The same people and month give the same bills; what is there already stays as it is, so
 * in a later month the bills of the months since are added. Returns how many bills were added.
 */
export async function seedBills(
  database: Database<DB>,
  userIds: readonly string[],
  today: Day,
): Promise<number> {
  const providers = new Map(
    (await billsStore(database).providers()).map((provider) => [provider.name, provider]),
  )
  let added = 0
  for (const userId of userIds) {
    const area = areas[figures(userId) % areas.length] ?? []
    for (const name of area) {
      const provider = providers.get(name)
      if (!provider) throw new Error(`the database has no provider ${name}: migrate it first`)
      added += await seedAccount(database, userId, provider, today)
    }
  }
  return added
}

async function seedAccount(
  database: Database<DB>,
  userId: string,
  provider: Provider,
  today: Day,
): Promise<number> {
  const customerNumber = String(figures(userId, provider.id)).padStart(11, '4').slice(-11)
  const { id: providerId, currency } = provider
  const bills = sandboxBills({ provider, customerNumber, today })
  return database.transaction(async (trx) => {
    await trx
      .insertInto('utility_accounts')
      .values({
        id: newId('acc'),
        user_id: userId,
        provider_id: providerId,
        customer_number: customerNumber,
      })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
    return importBills(trx, { userId, providerId, customerNumber, currency, bills })
  })
}

function figures(...place: string[]): number {
  return createHash('sha256').update(place.join(' ')).digest().readUIntBE(0, 6)
}

async function main(): Promise<void> {
  const [file] = process.argv.slice(2)
  if (file === undefined) throw new Error('usage: seed.ts <people.json>')
  const { DATABASE_URL_BILLING } = loadConfig(Type.Object({ DATABASE_URL_BILLING: databaseUrl }))
  const wanted: unknown = JSON.parse(await readFile(file, 'utf8'))
  if (!people.Check(wanted)) throw new Error(`${file} is not a list of people with ids`)
  const database = openDatabase<DB>({
    url: DATABASE_URL_BILLING,
    name: 'billing-seed',
    poolSize: 1,
  })
  try {
    const ids = wanted.map(({ id }) => id)
    const added = await seedBills(database, ids, dayAt(Date.now()))
    await addCoupons(database.kysely, demoCoupons)
    console.log(`billing: ${added} bills added for ${ids.length} people`)
  } finally {
    await database.close()
  }
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    const isExpected = error instanceof ConfigError || !(error instanceof Error)
    process.stderr.write(`billing seed: ${isExpected ? String(error) : error.message}\n`)
    process.exitCode = 1
  })
}
