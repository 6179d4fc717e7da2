import { setTimeout as wait } from 'node:timers/promises'
import { eventually, type TestSentinelGroup } from '@wattle/testkit'
import { isUp, type Services } from '../test/services.ts'
import type { Random } from '@wattle/testkit'

/**
 * Kills and freezes what the payments stand on, one thing after another: the payment service (and with it the relay),
 * billing, and the masters of both Redis groups. Each comes back before the next of its kind is struck.
 */
export function startHavoc({
  services,
  groups,
  random,
  say,
}: {
  services: Services
  groups: Readonly<Record<'cache' | 'state', TestSentinelGroup>>
  random: Random
  say: (what: string) => void
}) {
  const counts: Record<string, number> = {}
  const over = new AbortController()

  async function strikeService(name: 'payment' | 'billing'): Promise<void> {
    const service = services.processes[name]
    if (random.chance(0.6)) {
      strike(`kill ${name}`)
      await service.kill()
      await wait(random.below(500))
      service.start()
    } else {
      strike(`freeze ${name}`)
      service.freeze()
      await wait(500 + random.below(3_500))
      service.thaw()
    }
    await eventually(() => isUp(services.urls[name]), { withinMs: 60_000, everyMs: 100 })
  }

  async function strikeMaster(name: 'cache' | 'state'): Promise<void> {
    const group = groups[name]
    const master = await group.master()
    if (random.chance(0.5)) {
      strike(`kill master of ${name}`)
      await group.kill(master)
      await eventually(
        async () => {
          if ((await group.master()) === master) throw new Error('no other master yet')
        },
        { withinMs: 30_000, everyMs: 200 },
      )
      await group.restart(master)
    } else {
      strike(`freeze master of ${name}`)
      group.freeze(master)
      await wait(1_000 + random.below(6_000))
      group.thaw(master)
    }
    await group.whenReady(60_000)
  }

  function strike(what: string): void {
    counts[what] = (counts[what] ?? 0) + 1
    say(what)
  }

  const repeat = async (pauseMs: number, act: () => Promise<void>) => {
    while (!over.signal.aborted) {
      await wait(pauseMs + random.below(pauseMs), undefined, { signal: over.signal }).catch(
        () => {},
      )
      if (!over.signal.aborted) await act()
    }
  }
  const strikes = Promise.all([
    repeat(2_000, () => strikeService('payment')),
    repeat(4_000, () => strikeService('billing')),
    repeat(5_000, () => strikeMaster('cache')),
    repeat(5_000, () => strikeMaster('state')),
  ])
  strikes.catch(() => {})

  return {
    counts,
    /** Ends it; resolves when all that was struck is back. */
    async stop(): Promise<void> {
      over.abort()
      await strikes
      await services.whenReady(60_000)
    },
  }
}
