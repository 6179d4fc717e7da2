import { setTimeout as wait } from 'node:timers/promises'
import { eventually, startProxy, type TestSentinelGroup } from '@wattle/testkit'
import type { Fault, FaultContext } from './fault.ts'
import type { Bounds } from './history.ts'
import { clockMs } from './plan.ts'

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

export function faultNamed(name: string): Fault {
  const found = faults.find((fault) => fault.name === name)
  if (!found) {
    const names = faults.map((fault) => `"${fault.name}"`).join(', ')
    throw new Error(`There is no fault "${name}"; there are ${names}.`)
  }
  return found
}

async function during<T extends { heal(): void }>(
  proxies: readonly T[],
  ms: number,
  hurt: (proxy: T) => void,
): Promise<void> {
  for (const proxy of proxies) hurt(proxy)
  await wait(ms)
  for (const proxy of proxies) proxy.heal()
}

/** One command at the present master. */
async function command(group: TestSentinelGroup, name: string, ...args: string[]): Promise<void> {
  const link = group.client(await group.master())
  try {
    await link.call(name, args)
  } finally {
    link.disconnect()
  }
}

async function freezeWorker({ workers }: FaultContext, meanwhile: () => Promise<unknown>) {
  const [victim] = workers
  if (!victim) throw new Error('there is no process to freeze')
  victim.signal('SIGSTOP')
  await meanwhile()
  const atMs = clockMs()
  victim.signal('SIGCONT')
  return { thawed: [{ process: victim.process, atMs }] }
}

/** Writes go on for a while that no replica gets; then the master is lost with them. */
async function loseTail(group: TestSentinelGroup, ms: number): Promise<void> {
  const master = await group.master()
  await using cable = await startProxy(master)
  for (const replica of await group.replicas()) {
    const link = group.client(replica)
    await link.call('REPLICAOF', ['127.0.0.1', cable.port])
    await eventually(async () => {
      if (!/master_link_status:up/.test(await link.info('replication'))) throw new Error('no link')
    })
    link.disconnect()
  }
  cable.blackhole()
  await wait(ms)
  await group.kill(master)
  await cable.refuse()
  await anotherMaster(group, master.port)
  await group.restart(master)
}

async function anotherMaster(group: TestSentinelGroup, than: number): Promise<void> {
  await eventually(
    async () => {
      if ((await group.master()).port === than) throw new Error('no other master yet')
    },
    { withinMs: 30_000, everyMs: 50 },
  )
  await takesWrites(group)
}

async function takesWrites(group: TestSentinelGroup): Promise<void> {
  await eventually(
    async () => {
      const link = group.client(await group.master())
      const state = await link.info('replication').finally(() => link.disconnect())
      if (!/role:master\r[^]*connected_slaves:[1-9]/.test(state)) throw new Error('no writes yet')
    },
    { withinMs: 30_000, everyMs: 50 },
  )
}
