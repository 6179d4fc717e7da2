import { setTimeout as wait } from 'node:timers/promises'
import { connectRedis, keySpace } from '@wattle/redis'
import { eventually, randomFrom, startProxy, startRedis } from '@wattle/testkit'
import { describe, expect, test } from 'vitest'
import {
  liveRevocations,
  liveSet,
  revocationChannel,
  revocationPublisher,
  revocations,
  type RevocationLog,
  type StoredRevocation,
} from '../src/index.ts'

const keys = keySpace({ environment: 'test', service: 'user' })
const trustWindowMs = 1_000
/** For timers that come late on a busy machine. */
const slackMs = 500
const lifeMs = 600_000

/** A database that never fails, as the publishers see it. */
function table() {
  const rows = new Map<number, StoredRevocation & { epoch?: string }>()
  const log: RevocationLog = {
    unpublished: (epoch, limit, after) =>
      Promise.resolve(
        [...rows.values()]
          .filter((row) => row.sequence > after && (epoch === undefined || row.epoch !== epoch))
          .slice(0, limit),
      ),
    markPublished(sequences, epoch) {
      for (const sequence of sequences) {
        const row = rows.get(sequence)
        if (row !== undefined) rows.set(sequence, { ...row, epoch })
      }
      return Promise.resolve()
    },
  }
  const commit = (id: string) => {
    const sequence = rows.size + 1
    rows.set(sequence, { id, untilMs: Date.now() + lifeMs, sequence })
  }
  return { log, commit }
}

describe('T3 whatever happens to Redis', () => {
  test('what was revoked and acknowledged is never called valid after the trust window, and in the end all know all', async () => {
    const seed = Number(process.env['WATTLE_TEST_SEED'] ?? Date.now())
    console.log(`seed ${seed}; again with WATTLE_TEST_SEED=${seed}`)
    const random = randomFrom(seed)
    // Of the group that keeps nothing on disk: a kill loses everything that Redis was told.
    await using server = await startRedis({ group: 'cache' })
    const { hostname: host, port } = new URL(server.url)
    await using proxy = await startProxy({ host, port: Number(port) })
    const { log, commit } = table()

    const issuers = [0, 1].map(() => {
      const redis = connectRedis({ url: server.url, name: 'user' })
      const channel = revocationChannel({ redis, keys })
      const live = liveSet({ redis, keys })
      const publisher = revocationPublisher({ log, live, channel, everyMs: 700 })
      publisher.start()
      return { redis, channel, publisher }
    })
    const viewerAt = (url: string) => {
      const redis = connectRedis({ url, name: 'gateway' })
      const view = revocations({
        channel: (listener) => revocationChannel({ redis, keys, listener, trustWindowMs }),
        source: liveRevocations({ redis, keys, pageSize: 7 }),
        retryMs: 50,
      })
      return { redis, view }
    }
    const close = async ({ redis, view }: ReturnType<typeof viewerAt>) => {
      await view.close()
      await redis.close()
    }
    // The second one's network can be cut without the others noticing; the third is started anew now and then.
    const farAway = `redis://${proxy.host}:${proxy.port}`
    const viewers = [viewerAt(server.url), viewerAt(farAway), viewerAt(server.url)]
    async function newcomer(): Promise<void> {
      const [former] = viewers.splice(2, 1, viewerAt(server.url))
      if (former !== undefined) await close(former)
    }

    const acknowledged = new Map<string, number>()
    const verdictsOf = (sessionId: string) =>
      viewers.map(({ view }) =>
        view.check({
          tokenId: 'tok_1',
          sessionId,
          familyId: 'fam_1',
          userId: 'usr_1',
          issuedAtMs: 1,
        }),
      )
    const violations: string[] = []
    let checks = 0
    function look(): void {
      const nowMs = performance.now()
      for (const [id, atMs] of acknowledged) {
        if (nowMs < atMs + trustWindowMs + slackMs) continue
        checks++
        if (verdictsOf(id).includes('valid'))
          violations.push(`${id}, ${Math.round(nowMs - atMs)} ms`)
      }
    }

    let made = 0
    let isOver = false
    let isQuiet = false
    const revoking = (async () => {
      while (!isOver) {
        if (!isQuiet) {
          const id = `ses_${made++}`
          commit(id)
          const isPublished = await random.pick(issuers).publisher.flush(200)
          if (isPublished) acknowledged.set(id, performance.now())
        }
        look()
        await wait(5)
      }
    })()
    /** Nobody revokes for a while, so that nothing is published again but by the sweep. */
    async function quietly(work: () => Promise<unknown>): Promise<void> {
      isQuiet = true
      await work()
      await newcomer()
      await wait(1_000)
      isQuiet = false
    }
    const faults = [
      async () => {
        proxy.blackhole(random.pick(['both', 'replies', 'requests'] as const))
        await wait(2_500)
        await proxy.heal()
      },
      async () => {
        server.freeze()
        await wait(300 + random.below(1_500))
        server.thaw()
      },
      () =>
        quietly(async () => {
          await server.kill()
          await wait(random.below(800))
          await server.restart()
        }),
      () => quietly(() => server.client().flushall()),
      newcomer,
      async () => {
        await server.client().call('CLIENT', 'KILL', 'TYPE', random.pick(['pubsub', 'normal']))
      },
    ]
    const endsMs = performance.now() + 10_000
    while (performance.now() < endsMs) {
      await wait(200 + random.below(700))
      await random
        .pick(faults)()
        .catch(() => undefined)
    }
    isOver = true
    await revoking

    await eventually(
      () => {
        for (let n = 0; n < made; n++) {
          const all = verdictsOf(`ses_${n}`)
          if (all.some((one) => one !== 'revoked')) throw new Error(`ses_${n}: ${all.join()}`)
        }
        expect(verdictsOf('ses_good')).toEqual(['valid', 'valid', 'valid'])
      },
      { withinMs: 15_000 },
    )
    look()
    expect({ seed, violations }).toEqual({ seed, violations: [] })
    expect(acknowledged.size).toBeGreaterThan(20)
    expect(checks).toBeGreaterThan(1_000)

    for (const { redis, channel, publisher } of issuers) {
      await publisher.close()
      channel.close()
      await redis.close()
    }
    await Promise.all(viewers.map(close))
  }, 60_000)
})
