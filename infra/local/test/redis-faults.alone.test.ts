import { setTimeout as wait } from 'node:timers/promises'
import { eventually, startRedis, startSentinelGroup } from '@wattle/testkit'
import { describe, expect, test } from 'vitest'
import { startClients, type Observation } from './load.ts'
import { newPerson } from './person.ts'
import { startServices } from './services.ts'

const clients = 50
/** The deadline of a request, and what the machine may add to it. */
const deadlineMs = 5_000 + 1_000

async function fiftyPeople(api: string) {
  const people = []
  for (let i = 0; i < clients; i += 5) {
    people.push(...(await Promise.all(Array.from({ length: 5 }, () => newPerson(api)))))
  }
  return people
}

function expectAllRight(observations: readonly Observation[]): void {
  const wrong = observations.filter((one) => one.wrong !== undefined)
  const texts = wrong.slice(0, 5).map((one) => one.wrong)
  expect(texts, `${wrong.length} of ${observations.length} answers were wrong`).toEqual([])
  const times = observations.map((one) => one.tookMs).toSorted((a, b) => a - b)
  const slowest = times.at(-1) ?? 0
  const p99 = times[Math.floor(times.length * 0.99)] ?? 0
  console.log(
    `${times.length} answers, all right; p99 ${p99.toFixed(0)} ms, slowest ${slowest.toFixed(0)} ms`,
  )
  expect(observations.length).toBeGreaterThan(1_000)
  expect(slowest).toBeLessThan(deadlineMs)
}

function hitShare(observations: readonly Observation[]): number {
  const reads = observations.filter((one) => one.cache !== undefined)
  return reads.filter((one) => one.cache === 'HIT').length / Math.max(1, reads.length)
}

describe('R2 Redis fails under the load of 50 clients', () => {
  test('a master killed, one frozen for 10 s: every answer is right and in time, and hits return within 5 s', async () => {
    await using group = await startSentinelGroup()
    await underLoad(group, async ({ load }) => {
      await wait(2_000)
      expect(hitShare(load.since(performance.now() - 1_000))).toBeGreaterThan(0.5)

      const killed = await group.master()
      await group.kill(killed)
      await eventually(async () => expect(await group.master()).not.toBe(killed), {
        withinMs: 15_000,
      })
      await group.restart(killed)
      await backToHits(load)
      await group.whenReady()

      const frozen = await group.master()
      group.freeze(frozen)
      await wait(10_000)
      group.thaw(frozen)
      await backToHits(load)
    })
  }, 120_000)

  test('Redis wholly absent for 5 s: every answer is right and in time, and hits return within 5 s', async () => {
    await using server = await startRedis({ acl: true })
    await underLoad(server, async ({ load, services }) => {
      await wait(1_000)
      await server.kill()
      await wait(5_000)
      const ready = await fetch(`${services.urls.billing}/readyz`)
      expect(ready.status).toBe(200)
      await server.restart()
      await backToHits(load)
    })
  }, 120_000)
})

type Services = Awaited<ReturnType<typeof startServices>>
type Load = ReturnType<typeof startClients>

/** All services on this cache, used by 50 clients while it fails: all answers are right, and nothing has ended. */
async function underLoad(
  { urlFor }: { urlFor: (service: string) => string },
  fail: (running: { load: Load; services: Services }) => Promise<void>,
): Promise<void> {
  await using state = await startRedis({ acl: true, group: 'state' })
  await using services = await startServices({
    cacheUrlFor: urlFor,
    stateUrlFor: state.urlFor,
    env: { WATTLE_EVENT_REPLICAS: '0' },
  })
  const load = startClients({ api: services.api, people: await fiftyPeople(services.api) })
  try {
    await fail({ load, services })
  } finally {
    await load.stop()
  }
  expect(services.alive(), services.log()).toBe(true)
  expectAllRight(load.observations)
}

/** All is normal again: within 5 s, most reads of the last half second came from the cache. */
async function backToHits(load: Load): Promise<void> {
  await eventually(
    () => expect(hitShare(load.since(performance.now() - 500))).toBeGreaterThan(0.5),
    { withinMs: 5_000, everyMs: 100 },
  )
}
