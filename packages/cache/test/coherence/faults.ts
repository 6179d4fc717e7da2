import { setTimeout as wait } from 'node:timers/promises'
import type { Fault } from './fault.ts'
import {
  anotherMaster,
  command,
  during,
  freezeWorker,
  loseTail,
  takesWrites,
} from './fault-steps.ts'
import { needsState, type Feature } from './features/names.ts'
import type { Bounds } from './history.ts'

/** The trust window, and what a busy machine adds to it. */
const calm: Bounds = { lagMs: 1_300, deferredMs: 5_000 }
/** Reconnecting and announcing again what the new master may lack, after it has begun to take writes. */
const repaired: Bounds = { ...calm, repairOrdinaryMs: 3_000 }
/** Two masters for a moment: who still talks to the old one is told late. */
const divided: Bounds = { ...repaired, repairStrictMs: 3_000 }

/** Every fault by name; each heals what it broke. */
export const faults: readonly Fault[] = [
  {
    name: 'calm',
    failover: false,
    bounds: calm,
    async inject() {
      await wait(3_000)
    },
  },
  {
    name: 'subscribers killed',
    failover: false,
    bounds: calm,
    async inject({ group }) {
      for (let n = 0; n < 20; n++) {
        await command(group, 'CLIENT', 'KILL', 'TYPE', 'pubsub')
        await wait(150)
      }
    },
  },
  {
    name: 'subscriber silent',
    failover: false,
    bounds: calm,
    inject: ({ proxies }) => during(proxies, 4_000, (proxy) => proxy.silence()),
  },
  {
    name: 'messages dropped',
    failover: false,
    bounds: calm,
    inject: ({ proxies }) => during(proxies, 4_000, (proxy) => proxy.drop(0.5)),
  },
  {
    name: 'latency 100 ms',
    failover: false,
    bounds: calm,
    inject: ({ proxies }) => during(proxies, 4_000, (proxy) => proxy.slow(100)),
  },
  {
    name: 'out of memory',
    failover: false,
    emptiesRedis: true,
    bounds: calm,
    async inject({ group }) {
      await command(group, 'CONFIG', 'SET', 'maxmemory', '1mb')
      await wait(3_000)
      await command(group, 'CONFIG', 'SET', 'maxmemory', '256mb')
    },
  },
  {
    name: 'flushall',
    failover: false,
    emptiesRedis: true,
    bounds: calm,
    async inject({ group }) {
      for (let n = 0; n < 3; n++) {
        await command(group, 'FLUSHALL')
        await wait(700)
      }
    },
  },
  {
    name: 'clocks jump',
    failover: false,
    bounds: calm,
    async inject({ workers, random }) {
      for (let n = 0; n < 3; n++) {
        for (const worker of workers) {
          worker.tell({ type: 'skew', skewMs: (random.below(7_200) - 3_600) * 1_000 })
        }
        await wait(700)
      }
    },
  },
  {
    name: 'process frozen',
    failover: false,
    bounds: calm,
    inject: (context) => freezeWorker(context, () => wait(4_000)),
  },
  {
    name: 'process killed',
    failover: false,
    // The outbox is swept every second, for rows older than one.
    bounds: { ...calm, lostWriterMs: 4_000 },
    async inject({ workers, replace }) {
      const [victim] = workers
      if (!victim) return
      victim.tell({ type: 'die after a commit' })
      await replace(victim)
    },
  },
  {
    name: 'killed at any moment',
    failover: false,
    bounds: { ...calm, lostWriterMs: 4_000 },
    async inject({ workers: [victim], random, replace }) {
      for (let n = 0; n < 3 && victim; n++) {
        await wait(300 + random.below(700))
        victim.signal('SIGKILL')
        victim = await replace(victim)
      }
    },
  },
  {
    name: 'killed in a put',
    failover: false,
    needs: 'write-behind',
    bounds: { ...calm, lostWriterMs: 4_000 },
    async inject({ workers: [victim], replace }) {
      for (let n = 0; n < 3 && victim; n++) {
        victim.tell({ type: 'die in a put' })
        victim = await replace(victim)
      }
    },
  },
  {
    name: 'master killed',
    failover: true,
    bounds: repaired,
    async inject({ group }) {
      const master = await group.master()
      await group.kill(master)
      await anotherMaster(group, master.port)
      await group.restart(master)
    },
  },
  {
    name: 'master frozen',
    failover: true,
    bounds: repaired,
    async inject({ group }) {
      const master = await group.master()
      group.freeze(master)
      await anotherMaster(group, master.port)
      await wait(2_000)
      group.thaw(master)
    },
  },
  {
    name: 'operator failover',
    failover: true,
    bounds: divided,
    inject: async ({ group }) => void (await group.failover()),
  },
  {
    name: 'replication cut, host lost',
    failover: true,
    bounds: repaired,
    inject: ({ group, random }) => loseTail(group, 800 + random.below(1_000)),
  },
  {
    name: 'sequence reused',
    failover: true,
    bounds: repaired,
    inject: (context) =>
      freezeWorker(context, async () => {
        await loseTail(context.group, 1_000)
        // So many new messages that the numbers pass those that the frozen process knows.
        await wait(2_000)
      }),
  },
  {
    name: 'state frozen',
    failover: false,
    needs: 'state',
    bounds: calm,
    async inject({ state }) {
      const master = await state?.master()
      if (!master) return
      state?.freeze(master)
      // Shorter than it takes to be given up.
      await wait(1_200)
      state?.thaw(master)
    },
  },
  {
    name: 'state master killed',
    failover: false,
    needs: 'state',
    bounds: { ...calm, stateForgets: true },
    async inject({ state }) {
      const master = await state?.master()
      if (!state || !master) return
      await state.kill(master)
      await anotherMaster(state, master.port)
      await state.restart(master)
    },
  },
  {
    name: 'all of Redis frozen',
    failover: true,
    bounds: repaired,
    async inject({ group }) {
      for (const node of group.nodes) group.freeze(node)
      await wait(3_000)
      for (const node of group.nodes) group.thaw(node)
      // Sentinels that saw a dead master may still elect another one.
      await wait(1_000)
      await group.whenReady(60_000)
      await takesWrites(group)
    },
  },
]

export const isThere = (needs: Fault['needs'], features: readonly Feature[]): boolean =>
  needs === undefined || (needs === 'state' ? needsState(features) : features.includes(needs))

/** Those that there can be in a run with these features. */
export const faultsFor = (features: readonly Feature[]): readonly Fault[] =>
  faults.filter(({ needs }) => isThere(needs, features))

export function faultNamed(name: string): Fault {
  const found = faults.find((fault) => fault.name === name)
  if (!found) {
    const names = faults.map((fault) => `"${fault.name}"`).join(', ')
    throw new Error(`There is no fault "${name}"; there are ${names}.`)
  }
  return found
}
