import { setTimeout as wait } from 'node:timers/promises'
import { eventually, startProxy, type TestSentinelGroup } from '@wattle/testkit'
import type { FaultContext } from './fault.ts'
import { clockMs } from './clock.ts'

/** Hurts what is between a process and the nodes, for a while. */
export async function during<T extends { heal(): void }>(
  proxies: readonly T[],
  ms: number,
  hurt: (proxy: T) => void,
): Promise<void> {
  for (const proxy of proxies) hurt(proxy)
  await wait(ms)
  for (const proxy of proxies) proxy.heal()
}

/** One command at the present master. */
export async function command(
  group: TestSentinelGroup,
  name: string,
  ...args: string[]
): Promise<void> {
  const link = group.client(await group.master())
  try {
    await link.call(name, args)
  } finally {
    link.disconnect()
  }
}

/** Stops a process in the middle of its work. */
export async function freezeWorker(
  { workers, random }: FaultContext,
  meanwhile: () => Promise<unknown>,
) {
  const [victim] = workers
  if (!victim) throw new Error('there is no process to freeze')
  await wait(300 + random.below(500))
  victim.signal('SIGSTOP')
  await meanwhile()
  const atMs = clockMs()
  victim.signal('SIGCONT')
  return { thawed: [{ process: victim.process, atMs }] }
}

/** Writes go on for a while that no replica gets; then the master is lost with them. */
export async function loseTail(group: TestSentinelGroup, ms: number): Promise<void> {
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

export async function anotherMaster(group: TestSentinelGroup, than: number): Promise<void> {
  await eventually(
    async () => {
      if ((await group.master()).port === than) throw new Error('no other master yet')
    },
    { withinMs: 30_000, everyMs: 50 },
  )
  await takesWrites(group)
}

export async function takesWrites(group: TestSentinelGroup): Promise<void> {
  await eventually(
    async () => {
      const link = group.client(await group.master())
      const state = await link.info('replication').finally(() => link.disconnect())
      if (!/role:master\r[^]*connected_slaves:[1-9]/.test(state)) throw new Error('no writes yet')
    },
    { withinMs: 30_000, everyMs: 50 },
  )
}
