import { openDatabase } from '@wattle/database'
import type { DB } from '../schema.ts'
import { verifyLedger } from './verify.ts'

const limitMs = 10 * 60_000

/*
 * Verifies the ledger straight on the database of DATABASE_URL_PAYMENT, prints what was found as JSON, and exits with 1
 * when there is a finding, with 2 when it could not be verified.
 */
const url = process.env['DATABASE_URL_PAYMENT']
if (url === undefined || url === '') {
  console.error('DATABASE_URL_PAYMENT is missing: set it to the database of the payment service.')
  process.exitCode = 2
} else {
  const database = openDatabase<DB>({ url, name: 'verify-ledger', poolSize: 1 })
  try {
    const verification = await verifyLedger(database.kysely, AbortSignal.timeout(limitMs))
    console.log(JSON.stringify(verification, null, 2))
    if (!verification.balanced || verification.findings.length > 0) process.exitCode = 1
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    console.error(`The ledger could not be verified: ${reason}`)
    process.exitCode = 2
  } finally {
    await database.close()
  }
}
