import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { connectRedis, keySpace } from '@wattle/redis'
import { randomFrom, startDatabase, startRedis } from '@wattle/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createCache } from '../src/index.ts'
import { soon } from './write-behind-setup.ts'

type Put = { amount: number; version: number }

async function start(service: string) {
  const [cacheServer, stateServer, database] = await Promise.all([
    startRedis(),
    startRedis({ group: 'state' }),
    startDatabase({ service: 'meters' }),
  ])
  await database.query(`
    create table meter (id text primary key, amount bigint not null, version bigint not null);
    create table history (at bigserial primary key, id text not null, version bigint not null);
    grant all on all tables in schema public to meters;
    grant all on all sequences in schema public to meters`)

  /** The last accepted put of each id, as far as its process could tell. */
  const accepted = new Map<string, Put>()
  const children = new Set<ChildProcess>()
  let count = 0
  /** Reads that returned less than their own process had put. */
  const stale: string[] = []

  function child(own: string, from = 0) {
    const file = fileURLToPath(new URL('processes/write-behind-process.ts', import.meta.url))
    const settings = { service, own, from, databaseUrl: database.url }
    const urls = { cacheUrl: cacheServer.url, stateUrl: stateServer.url }
    const one = spawn(process.execPath, [file], {
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        SETTINGS: JSON.stringify({ ...settings, ...urls }),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.add(one)
    const seen = { accepted: 0, writing: 0 }
    let rest = ''
    one.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const [what, id = '', amount, version] = line.split(' ')
        if (what === 'writing') seen.writing++
        if (what === 'stale') stale.push(line)
        if (what !== 'accepted') continue
        seen.accepted++
        count++
        const put = { amount: Number(amount), version: Number(version) }
        if (put.version > (accepted.get(id)?.version ?? 0)) accepted.set(id, put)
      }
    })
    const gone = new Promise<void>((resolve) => one.once('exit', () => resolve()))
    return {
      seen,
      signal: (name: NodeJS.Signals) => one.kill(name),
      async kill() {
        one.kill('SIGKILL')
        await gone
        children.delete(one)
      },
    }
  }

  const redis = connectRedis({ url: cacheServer.url, name: 'cache' })
  const state = connectRedis({ url: stateServer.url, name: 'state' })
  const keys = keySpace({ environment: 'test', service })
  const cache = createCache({ redis, keys, log: { info() {}, warn() {}, error() {} } })
  onTestFinished(async () => {
    for (const one of children) one.kill('SIGKILL')
    cache.close()
    await Promise.all([redis.close(), state.close()])
    await Promise.all([cacheServer.stop(), stateServer.stop(), database.drop()])
  })
  const waiting = () => stateServer.client().xlen(keys.key('writes', 'meters', 'stream'))

  return {
    accepted,
    child,
    waiting,
    total: () => count,
    async expectNothingLost() {
      expect(stale).toEqual([])
      await soon(async () => expect(await waiting()).toBe(0))
      const rows = await database.query('select id, amount, version from meter')
      const byId = new Map(rows.map((row) => [String(row['id']), row]))
      for (const [id, put] of accepted) {
        const row = byId.get(id)
        expect(Number(row?.['version']), id).toBeGreaterThanOrEqual(put.version)
        if (Number(row?.['version']) === put.version)
          expect(Number(row?.['amount'])).toBe(put.amount)
      }
    },
    async expectOrderKept() {
      const rows = await database.query(`
        select count(*) as back from (
          select version, lag(version) over (partition by id order by at) as before from history
        ) as steps where version < before`)
      expect(Number(rows[0]?.['back'])).toBe(0)
    },
  }
}

describe('C5 write-behind: processes that die', { timeout: 120_000 }, () => {
  test('kill -9 at any moment loses nothing that was accepted, and keeps the order of each key', async () => {
    const seed = Math.trunc(Math.random() * 2 ** 31)
    const random = randomFrom(seed)
    const stack = await start('killed')
    const running = ['a', 'b', 'c'].map((own) => ({ own, process: stack.child(own) }))
    for (let round = 1; round <= 9; round++) {
      const victim = random.pick(running)
      const enough = 20 + random.below(200)
      await soon(() => expect(victim.process.seen.accepted).toBeGreaterThan(enough))
      await victim.process.kill()
      victim.process = stack.child(victim.own, round * 1_000_000)
    }
    for (const { process } of running) await process.kill()
    stack.child('')
    await stack.expectNothingLost()
    await stack.expectOrderKept()
    console.log(`  ${stack.total()} changes accepted, 12 processes killed, seed ${seed}`)
  })

  test('a writer that freezes is replaced, and what it does when it wakes goes over nothing newer', async () => {
    const stack = await start('frozen')
    const one = stack.child('a')
    await soon(() => expect(one.seen.writing).toBeGreaterThan(2))
    one.signal('SIGSTOP')
    const two = stack.child('b')
    await soon(() => expect(two.seen.writing).toBeGreaterThan(2))
    one.signal('SIGCONT')
    const before = one.seen.accepted
    await soon(() => expect(one.seen.accepted).toBeGreaterThan(before + 50))
    await one.kill()
    await two.kill()
    stack.child('')
    await stack.expectNothingLost()
  })
})
