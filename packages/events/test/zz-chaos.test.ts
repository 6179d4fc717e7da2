import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startSentinelGroup, type TestSentinelGroup } from '@wattle/testkit'
import { childProcesses, type Child } from './children.ts'
import { append, environment, paymentStream, startEventDatabase, upTo, soon } from './support.ts'

/** A small generator, so that a seed tells the whole run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const faultCount = 8

describe('E1, E2: events from outbox to effect', () => {
  let group: TestSentinelGroup
  let db: Awaited<ReturnType<typeof startEventDatabase>>
  beforeAll(async () => {
    group = await startSentinelGroup({ group: 'state', downAfterMs: 2000 })
    db = await startEventDatabase()
  })
  afterAll(async () => {
    await group.stop()
    await db.close()
  })

  test(
    'relays, consumers and masters killed and frozen at random: each effect exactly once, none lost, each subject in order',
    async () => {
      const seed = Number(process.env['WATTLE_CHAOS_SEED'] ?? Date.now() % 1_000_000)
      const random = seeded(seed)
      const pick = <T>(items: readonly T[]) => items[Math.floor(random() * items.length)] as T
      console.log(`seed ${seed}, ${faultCount} faults (WATTLE_CHAOS_SEED, WATTLE_CHAOS_FAULTS)`)

      const children = childProcesses()
      onTestFinished(() => children.endAll())
      const settings = {
        redisUrl: group.url,
        databaseUrl: db.url,
        environment,
        replicas: 1,
        claimAfterMs: 2_000,
      }
      const start = (name: 'relay-process' | 'consumer-process') => children.start(name, settings)
      const running: { name: 'relay-process' | 'consumer-process'; child: Child }[] = (
        ['relay-process', 'relay-process', 'consumer-process', 'consumer-process'] as const
      ).map((name) => ({ name, child: start(name) }))

      const subjects = upTo(25).map((n) => `s${n}`)
      const counts = new Map(subjects.map((subject) => [subject, 0]))
      let writing = true
      onTestFinished(() => void (writing = false))
      // At a pace that leaves a small machine something for the servers under test.
      const writers = upTo(5).map(async () => {
        for (; writing; await delay(20)) {
          for (const event of await append(db.pool, ...new Set([pick(subjects), pick(subjects)]))) {
            counts.set(event.subject, Math.max(counts.get(event.subject) ?? 0, event.version))
          }
        }
      })
      const effects = async () =>
        Number((await db.query('select count(*) from effects'))[0]?.['count'])
      const progress = async (more: number) => {
        const before = await effects()
        await soon(async () => expect(await effects()).toBeGreaterThan(before + more), 60_000)
      }

      await progress(100)
      for (let fault = 0; fault < faultCount; fault += 1) {
        const kind = pick([
          'kill process',
          'freeze process',
          'kill master',
          'freeze master',
          'kill process',
        ])
        console.log(`fault ${fault + 1}: ${kind}`)
        if (kind.endsWith('process')) {
          const victim = pick(running)
          victim.child.kill(kind.startsWith('kill') ? 'SIGKILL' : 'SIGSTOP')
          const frozen = victim.child
          if (kind.startsWith('kill')) victim.child = start(victim.name)
          await progress(Math.floor(random() * 200))
          frozen.kill('SIGCONT')
        } else {
          await group.whenReady(60_000)
          const master = await group.master()
          await (kind.startsWith('kill')
            ? group.kill(master)
            : Promise.resolve(group.freeze(master)))
          await soon(async () => expect(await group.master()).not.toBe(master))
          await progress(Math.floor(random() * 200))
          await (kind.startsWith('kill')
            ? group.restart(master)
            : Promise.resolve(group.thaw(master)))
        }
      }
      writing = false
      await Promise.all(writers)

      const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
      // However long a busy machine takes, it must go on.
      for (let done = await effects(); done < total; done = await effects()) {
        console.log(new Date().toISOString(), done, total)
        await soon(async () => expect(await effects()).toBeGreaterThan(done + 500), 10_000).catch(async () => {
          const c = group.client(await group.master())
          console.log(await db.query('select count(*) from outbox where sent_at is null'), await db.query('select stream, subject, version, cause, error, attempts from dead_letters order by id limit 10'), await db.query('select count(*), max(cause) from dead_letters'))
          console.log(await c.xinfo('GROUPS', paymentStream), await c.xinfo('CONSUMERS', paymentStream, 'billing'), (await c.xpending(paymentStream, 'billing', 'IDLE', 0, '-', '+', 8)))
        })
      }
      for (const [subject, count] of counts) {
        const rows = await db.query(
          'select version from effects where subject = $1 order by position',
          [subject],
        )
        expect(
          rows.map(({ version }) => Number(version)),
          `${subject}, seed ${seed}`,
        ).toEqual(upTo(count))
      }
      expect(await db.query('select 1 from dead_letters')).toEqual([])
      await soon(async () => {
        const client = group.client(await group.master())
        expect((await client.xpending(paymentStream, 'billing'))[0]).toBe(0)
        expect(await db.query('select 1 from outbox where sent_at is null')).toEqual([])
      })
      console.log(`${total} events, each with one effect`)
    },
    faultCount * 60_000 + 120_000,
  )
})
