import { expect, test } from 'vitest'
import { failOver, snapshot, startRedis } from '../src/index.ts'

test('a failover in one step leaves what was there before, under another history', async () => {
  await using server = await startRedis()
  const raw = server.client()
  const history = async () => /master_replid:(\w+)/.exec(await raw.info('replication'))?.[1]
  await raw.set('kept', 'before', 'PX', 60_000)
  const before = await snapshot(raw)
  const historyBefore = await history()
  await raw.mset('kept', 'after', 'lost', 'after')
  await failOver(raw, before)
  expect(await raw.mget('kept', 'lost')).toEqual(['before', null])
  expect(await raw.pttl('kept')).toBeGreaterThan(0)
  expect(await history()).not.toBe(historyBefore)
})

test('a failover that cuts ends every other connection', async () => {
  await using server = await startRedis()
  const [raw, other] = [server.client(), server.client({ retryStrategy: () => null })]
  await other.ping()
  const closed = new Promise<void>((resolve) => other.once('close', () => resolve()))
  await failOver(raw, await snapshot(raw), { cut: true })
  await closed
  expect(await raw.ping()).toBe('PONG')
})
