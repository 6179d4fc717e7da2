/** A consumer in a process of its own, whose handler notes each effect, and can be made to hang for one subject. */
import { openDatabase } from '@wattle/database'
import { connectRedis } from '@wattle/redis'
import { sql } from 'kysely'
import { consume } from '../../src/index.ts'
import { announce, settings } from './settings.ts'

const { redisUrl, databaseUrl, environment, claimAfterMs, hangsAt } = settings
const redis = connectRedis({ url: redisUrl, name: 'consumer' })
const patience = { connectionTimeoutMs: 10_000, statementTimeoutMs: 15_000 }
const database = openDatabase({ url: databaseUrl, name: 'consumer', poolSize: 10, ...patience })
consume({
  redis,
  database,
  environment,
  group: 'billing',
  streams: ['payment'],
  claimAfterMs,
  concurrency: 8,
  handlers: {
    'payment.succeeded': async ({ id, subject, version }, trx) => {
      await sql`insert into effects (event_id, subject, version) values (${id}, ${subject}, ${version})`.execute(
        trx,
      )
      if (subject !== hangsAt) return
      announce('in the handler')
      await new Promise<never>(() => {})
    },
  },
})
announce('started')
