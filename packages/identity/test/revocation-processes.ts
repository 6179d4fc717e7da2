import { connectRedis, keySpace } from '@wattle/redis'
import { startRedis, type TestRedis } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, onTestFinished } from 'vitest'
import {
  liveRevocations,
  liveSet,
  revocationChannel,
  revocationPublisher,
  revocations,
  type Revocation,
  type RevocationLog,
  type StoredRevocation,
} from '../src/index.ts'
import { familyId, sessionId, userId } from './forge.ts'

export const keys = keySpace({ environment: 'test', service: 'user' })
export const token = { tokenId: 'tok_1', sessionId, familyId, userId, issuedAtMs: Date.now() }
export const addressOf = ({ url }: TestRedis) => {
  const { hostname: host, port } = new URL(url)
  return { host, port: Number(port) }
}
/** The `state` Redis of a group of tests, empty before each, and its address for a service. */
export function forEachTestEmptyRedis() {
  let server: TestRedis
  beforeAll(async () => {
    server = await startRedis({ acl: true, group: 'state', services: ['user', 'gateway'] })
  })
  beforeEach(() => server.client().flushall())
  afterAll(() => server.stop())
  return { server: () => server, as: (service: string) => server.urlFor(service) }
}

export const inAMinute = () => Date.now() + 60_000

/** The table of revocations, in memory: which rows there are, and which epoch has them. */
export function tableOf() {
  const rows: (StoredRevocation & { epoch?: string })[] = []
  const log: RevocationLog = {
    unpublished: (epoch, limit, after) =>
      Promise.resolve(
        rows
          .filter((row) => row.sequence > after && (epoch === undefined || row.epoch !== epoch))
          .slice(0, limit),
      ),
    markPublished(sequences, epoch) {
      for (const row of rows) if (sequences.includes(row.sequence)) row.epoch = epoch
      return Promise.resolve()
    },
  }
  const commit = (one: Revocation) => rows.push({ ...one, sequence: rows.length + 1 })
  return { rows, log, commit }
}

/** One process that issues. */
export function issuer(url: string, log: RevocationLog) {
  const redis = connectRedis({ url, name: 'user' })
  const channel = revocationChannel({ redis, keys })
  const publisher = revocationPublisher({
    log,
    live: liveSet({ redis, keys }),
    channel,
    everyMs: 50,
  })
  const close = async () => {
    await publisher.close()
    channel.close()
    await redis.close()
  }
  onTestFinished(close)
  return { redis, publisher, close }
}

/** One process that checks. */
export function viewer(url: string) {
  const redis = connectRedis({ url, name: 'gateway' })
  const view = revocations({
    channel: (listener) => revocationChannel({ redis, keys, listener }),
    source: liveRevocations({ redis, keys }),
    retryMs: 50,
  })
  onTestFinished(async () => {
    await view.close()
    await redis.close()
  })
  return view
}
