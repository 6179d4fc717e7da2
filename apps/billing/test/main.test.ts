import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { eventually, startRedis, type TestDatabase, type TestRedis } from '@wattle/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startTestDatabase } from './world.ts'

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))

let postgres: TestDatabase
let redis: TestRedis
let running: ChildProcess | undefined
beforeAll(async () => {
  ;[postgres, redis] = await Promise.all([startTestDatabase(), startRedis({ acl: true })])
})
afterEach(() => void running?.kill('SIGKILL'))
afterAll(() => Promise.all([postgres.drop(), redis.stop()]))

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function start(change: Record<string, string> = {}) {
  const port = await freePort()
  const child = spawn(process.execPath, [main], {
    env: {
      WATTLE_ENV: 'test',
      WATTLE_SERVICE_PORT: String(port),
      DATABASE_URL_BILLING: postgres.url,
      WATTLE_REDIS_CACHE_URL: redis.urlFor('billing'),
      WATTLE_REDIS_STATE_URL: redis.urlFor('billing'),
      WATTLE_PAYMENT_URL: 'http://127.0.0.1:1',
      WATTLE_INTERNAL_JWKS_URL: 'http://127.0.0.1:1/.well-known/jwks.json',
      ...change,
    },
  })
  running = child
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const ended = once(child, 'exit').then(([code]) => ({ code: code as number | null, errors }))
  return { url: `http://127.0.0.1:${port}`, child, ended }
}

describe('M1 the billing process', () => {
  test('serves over HTTP, is ready, and stops cleanly on SIGTERM', async () => {
    const { url, child, ended } = await start()
    await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), {
      withinMs: 15_000,
    })
    const reply = await fetch(`${url}/providers?utility=gas`)
    expect(await reply.json()).toMatchObject({ items: expect.any(Array) as unknown })
    // The cache is looked after.
    await eventually(async () => {
      const metrics = await (await fetch(`${url}/metrics`)).text()
      expect(metrics).toMatch(/wattle_cache_budget_bytes\{[^}]*\} 67108864\n/)
      expect(metrics).toMatch(
        /warming_entries_total\{[^}]*job="providers",result="(warmed|present)"\} [1-5]\n/,
      )
    })
    child.kill('SIGTERM')
    expect(await ended).toEqual({ code: 0, errors: '' })
  })

  test('starts without Redis, is ready, and stops cleanly', async () => {
    const away = 'redis://127.0.0.1:1'
    const { url, child, ended } = await start({
      WATTLE_REDIS_CACHE_URL: away,
      WATTLE_REDIS_STATE_URL: away,
    })
    await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), {
      withinMs: 15_000,
    })
    const reply = await fetch(`${url}/providers`)
    expect([reply.status, reply.headers.get('x-cache-status')]).toEqual([200, 'BYPASS'])
    child.kill('SIGTERM')
    expect(await ended).toEqual({ code: 0, errors: '' })
  })

  test('stops with one sentence about a variable that is wrong', async () => {
    const { ended } = await start({ DATABASE_URL_BILLING: 'localhost' })
    const { code, errors } = await ended
    expect(code).toBe(78)
    expect(errors).toMatch(/^billing: DATABASE_URL_BILLING [^\n]+\n$/)
  })
})
