import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { migrate } from '@wattle/database'
import { generateSigningKey } from '@wattle/identity'
import { eventually, startDatabase, type TestDatabase } from '@wattle/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { migrations } from './world.ts'

const source = (name: string) => fileURLToPath(new URL(`../src/${name}`, import.meta.url))

let postgres: TestDatabase
const running = new Set<ChildProcess>()
beforeAll(async () => {
  postgres = await startDatabase({ service: 'user', migrations, migrate })
})
afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
})
afterAll(() => postgres.drop())

function run(file: string, parameters: readonly string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [source(file), ...parameters], { env })
  running.add(child)
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const ended = once(child, 'close').then(([code]) => {
    running.delete(child)
    return { code: code as number | null, output, errors }
  })
  return { child, ended }
}

async function start(change: Record<string, string> = {}) {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  holder.close()
  await once(holder, 'close')
  const started = run('main.ts', [], {
    WATTLE_ENV: 'test',
    WATTLE_SERVICE_PORT: String(port),
    DATABASE_URL_USER: postgres.url,
    WATTLE_REDIS_CACHE_URL: 'redis://127.0.0.1:1',
    WATTLE_REDIS_STATE_URL: 'redis://127.0.0.1:1',
    WATTLE_SESSION_SECRET: Buffer.alloc(32, 'session').toString('base64'),
    WATTLE_INTERNAL_JWKS_URL: 'http://127.0.0.1:1/.well-known/jwks.json',
    WATTLE_ACCESS_SIGNING_KEY: generateSigningKey(),
    ...change,
  })
  return { url: `http://127.0.0.1:${port}`, ...started }
}

describe('M1 the user process', () => {
  test('starts without Redis and without the gateway, is ready, and stops cleanly on SIGTERM', async () => {
    const { url, child, ended } = await start()
    await eventually(async () => expect((await fetch(`${url}/readyz`)).status).toBe(200), {
      withinMs: 15_000,
    })
    const reply = await fetch(`${url}/auth/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: 'a@b.example', password: 'long enough', name: 'A' }),
    })
    expect(reply.status).toBe(201)
    const metrics = await (await fetch(`${url}/metrics`)).text()
    expect(metrics).toMatch(/wattle_cache_budget_bytes\{[^}]*\} 134217728\n/)
    child.kill('SIGTERM')
    expect(await ended).toMatchObject({ code: 0, errors: '' })
  })

  test('stops with one sentence about a variable that is wrong', async () => {
    const { ended } = await start({ WATTLE_ACCESS_SIGNING_KEY: 'secret-word' })
    const { code, errors } = await ended
    expect(code).not.toBe(0)
    expect(errors).toMatch(/^user: WATTLE_ACCESS_SIGNING_KEY [^\n]+\n$/)
    expect(errors).not.toMatch('secret-word')
  })
})

describe('the seed command', () => {
  test('opens the accounts of a file once, with nothing but the database', async () => {
    const file = join(tmpdir(), `wattle-people-${process.pid}.json`)
    const id = 'usr_01936b0e-0000-7000-8000-000000000001'
    const people = [{ id, email: 'ada@demo.example', name: 'Ada', password: 'demo password' }]
    await writeFile(file, JSON.stringify(people))
    const env = { DATABASE_URL_USER: postgres.url }
    const outputs = [
      await run('seed.ts', [file], env).ended,
      await run('seed.ts', [file], env).ended,
    ]
    expect(outputs).toEqual([
      { code: 0, output: 'user: 1 of 1 accounts opened\n', errors: '' },
      { code: 0, output: 'user: 0 of 1 accounts opened\n', errors: '' },
    ])
  })

  test('says in one line what is wrong', async () => {
    const env = { DATABASE_URL_USER: postgres.url }
    const none = await run('seed.ts', [], env).ended
    const absent = await run('seed.ts', ['/nowhere.json'], env).ended
    const unset = await run('seed.ts', ['/nowhere.json'], {}).ended
    for (const { code, errors } of [none, absent, unset]) {
      expect(code).toBe(1)
      expect(errors).toMatch(/^user seed: [^\n]+\n$/)
    }
    expect(unset.errors).toMatch('DATABASE_URL_USER')
  })
})
