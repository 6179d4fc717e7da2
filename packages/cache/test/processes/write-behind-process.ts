/** A process that puts changes, tells which were accepted, and writes them to PostgreSQL when it is its turn. */
import { connectRedis, keySpace } from '@wattle/redis'
import pg from 'pg'
import { createCache, type WriteBehindChange } from '../../src/index.ts'

const settings = JSON.parse(process.env['SETTINGS'] ?? '{}') as {
  cacheUrl: string
  stateUrl: string
  databaseUrl: string
  service: string
  /** Part of the ids that this process alone changes; empty: it changes nothing, and only writes. */
  own: string
  /** Amounts grow from here. */
  from: number
}

const log = { info() {}, warn() {}, error() {} }
const redis = connectRedis({ url: settings.cacheUrl, name: 'cache' })
const state = connectRedis({ url: settings.stateUrl, name: 'state' })
const pool = new pg.Pool({ connectionString: settings.databaseUrl, max: 4 })
const keys = keySpace({ environment: 'test', service: settings.service })
const cache = createCache({ redis, keys, log })
await Promise.all([redis.whenReady(5_000), state.whenReady(5_000)])

const statement = `
  with changes as (
    select * from unnest($1::text[], $2::bigint[], $3::bigint[]) as change (id, amount, version)
  ), noted as (
    insert into history (id, version) select id, version from changes
  )
  insert into meter (id, amount, version) select id, amount, version from changes
  on conflict (id) do update set amount = excluded.amount, version = excluded.version
    where meter.version < excluded.version`

const kind = cache.kind<{ amount: number }>('meter', { ttl: '1m' })
const writes = cache.writeBehind(kind, {
  redis: state,
  name: 'meters',
  batchSize: 20,
  everyMs: 20,
  takeOverAfterMs: 1_000,
  async write(changes: readonly WriteBehindChange<{ amount: number }>[]) {
    process.stdout.write('writing\n')
    await pool.query(statement, [
      changes.map(({ key }) => key),
      changes.map(({ value }) => value.amount),
      changes.map(({ version }) => version),
    ])
  },
})

async function load(id: string): Promise<{ amount: number }> {
  const { rows } = await pool.query<{ amount: string }>('select amount from meter where id = $1', [
    id,
  ])
  return { amount: Number(rows[0]?.amount ?? 0) }
}

let amount = settings.from
async function putForEver(): Promise<never> {
  for (;;) {
    const mine = ++amount
    const id = `${settings.own}-${mine % 10}`
    try {
      const { version } = await writes.put(id, { amount: mine })
      process.stdout.write(`accepted ${id} ${mine} ${version}\n`)
      // So that it must be loaded anew.
      if (mine % 3 === 0) await cache.invalidate([kind.ref(id)])
      const read = await kind.getOrSet(id, () => load(id))
      if (read.amount < mine) process.stdout.write(`stale ${id} ${read.amount} after ${mine}\n`)
    } catch {
      await new Promise(setImmediate)
    }
  }
}
if (settings.own !== '') await Promise.all([putForEver(), putForEver()])
