import { eventually, startSentinelGroup, type TestSentinelGroup } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openChannel, sayApplied, type OpenChannel } from './support/channels.ts'

const timeout = 60_000
let group: TestSentinelGroup
beforeAll(async () => {
  group = await startSentinelGroup()
})
afterAll(() => group.stop())

/** Says one word after the other until it is told to stop, and remembers which were applied. */
function chatter(one: OpenChannel) {
  const applied = new Set<string>()
  let going = true
  const done = (async () => {
    for (let at = 0; going; at++) {
      const issued = await one.say(`w${at}`)
      if (issued.outcome === 'applied') applied.add(`w${at}`)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  })()
  return {
    applied,
    async stop() {
      going = false
      await done
    },
  }
}

describe('C13 a failover of Sentinels', () => {
  test.each(['failover', 'kill'] as const)(
    '%s: the epoch is another one, and the new master has everything that was applied or deferred',
    { timeout },
    async (how) => {
      const service = 'billing'
      const open = () => openChannel({ url: group.urlFor(service), service, name: how })
      await using one = open()
      await using two = open()
      await Promise.all([one.trusted(), two.trusted()])
      const { epoch } = one.shard
      const losses = two.losses()
      const talk = chatter(one)
      await eventually(() => expect(talk.applied.size).toBeGreaterThan(50))
      const old = await group.master()
      if (how === 'failover') await group.failover()
      else await group.kill(old)
      await eventually(() => expect(one.shard.epoch).not.toBe(epoch), { withinMs: 20_000 })
      await one.trusted(20_000)
      await talk.stop()
      await Promise.all([one.trusted(), two.trusted(20_000)])
      expect(two.shard.epoch).toBe(one.shard.epoch)
      const counts = await eventually(async () =>
        group.client(await group.master()).hgetall(one.counts),
      )
      expect([...talk.applied].filter((word) => !(word in counts))).toEqual([])
      // What the other one did not hear in between counts as lost; what is said from now on reaches it.
      expect(two.losses()).toBeGreaterThan(losses)
      await sayApplied(one, 'after')
      await eventually(() => expect(two.heard).toContain('after'))
      if (how === 'kill') await group.restart(old)
      else await group.whenReady()
    },
  )
})
