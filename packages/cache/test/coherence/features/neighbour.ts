import type { TestSentinelGroup } from '@wattle/testkit'

const keys = Array.from({ length: 300 }, (_, at) => `test:user:profile@1:usr_${at}`)

/** Another namespace on the same Redis, of which nothing may go when this one keeps to its budget. */
export function createNeighbour(group: TestSentinelGroup) {
  async function atMaster<T>(act: (link: ReturnType<typeof group.client>) => Promise<T>) {
    const link = group.client(await group.master())
    return act(link).finally(() => link.disconnect())
  }
  return {
    /** Fills it, on the replicas too. */
    settle: () =>
      atMaster(async (link) => {
        const pipeline = link.pipeline()
        for (const key of keys) void pipeline.set(key, 'x'.repeat(100), 'PX', 600_000)
        await pipeline.exec()
        await link.wait(2, 1_000)
      }),
    /** How many of its keys are gone. */
    missing: () => atMaster(async (link) => keys.length - (await link.exists(...keys))),
  }
}
