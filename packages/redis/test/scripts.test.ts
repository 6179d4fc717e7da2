import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import { connectRedis, defineScript, type RedisConnection } from '../src/index.ts'

const add = defineScript(new URL('./support/add.lua', import.meta.url))
const keys = ['counter', 'who']
let server: TestRedis
let redis: RedisConnection

beforeAll(async () => {
  server = await startRedis()
  redis = connectRedis({ url: server.url, name: 'scripts' })
  expect(await redis.whenReady(3000)).toBe(true)
})
beforeEach(() => redis.client.flushall())
afterAll(async () => {
  await redis.close()
  await server.stop()
})

describe('a script', () => {
  test('runs by its hash, and is sent only once', async () => {
    await redis.client.script('FLUSH')
    await redis.client.config('RESETSTAT')
    for (let i = 0; i < 5; i += 1) await redis.run(add, { keys, args: [1, 'me'] })
    expect(await redis.run(add, { keys, args: [1, 'me'] })).toEqual([6, 'me'])
    const [info] = await redis.info('commandstats')
    expect(info?.sections['commandstats']?.['cmdstat_eval']).toMatch(/^calls=1,/)
    expect(info?.sections['commandstats']?.['cmdstat_evalsha']).toMatch(/^calls=6,/)
  })

  test('runs exactly once also when the server has forgotten it', async () => {
    for (let i = 1; i <= 5; i += 1) {
      await redis.client.script('FLUSH')
      expect(await redis.run(add, { keys, args: [1, 'me'] })).toEqual([i, 'me'])
    }
  })

  test('runs on a server that was started anew', async () => {
    await redis.run(add, { keys, args: [1, 'me'] })
    await server.kill()
    await eventually(() => expect(redis.state).toBe('down'))
    await server.restart()
    expect(await redis.whenReady(3000)).toBe(true)
    expect(await redis.run(add, { keys, args: [1, 'me'] })).toEqual([1, 'me'])
  })

  test('takes and returns bytes', async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 128])
    expect(await redis.run(add, { keys, args: [1, bytes], buffers: true })).toEqual([1, bytes])
    await redis.client.script('FLUSH')
    expect(await redis.run(add, { keys, args: [1, bytes], buffers: true })).toEqual([2, bytes])
  })

  test('that fails rejects with its own error, and is not run again', async () => {
    await redis.client.set('counter', 'text')
    await expect(redis.run(add, { keys, args: [1, 'me'] })).rejects.toThrow('not an integer')
    expect(await redis.client.exists('who')).toBe(0)
  })

  test('or any other call that fails does not carry what was sent into a log', async () => {
    await redis.client.set('counter', 'text')
    const errors = await Promise.allSettled([
      redis.run(add, { keys, args: [1, 'a secret'] }),
      redis.client.hset('counter', 'field', 'a secret'),
      redis.client.pipeline().hset('counter', 'field', 'a secret').exec(),
    ])
    expect(inspect(errors, { depth: 10 })).not.toContain('a secret')
  })

  test('many run in one write, known to the server or not, each with its own outcome', async () => {
    await redis.client.set('text', 'text')
    const call = (counter: string) => ({ script: add, keys: [counter, 'who'], args: [1, 'me'] })
    for (const round of [1, 2]) {
      if (round === 1) await redis.client.script('FLUSH')
      expect(await redis.runMany([call('a'), call('text'), call('b')])).toEqual([
        { status: 'fulfilled', value: [round, 'me'] },
        {
          status: 'rejected',
          reason: expect.objectContaining({ message: expect.stringMatching('not an integer') }),
        },
        { status: 'fulfilled', value: [round, 'me'] },
      ])
    }
    expect(await redis.runMany([])).toEqual([])
  })
})

describe('the file of a script', () => {
  const directory = mkdtempSync(join(tmpdir(), 'wattle-script-'))
  const file = pathToFileURL(join(directory, 'x.lua'))
  afterAll(() => rmSync(directory, { recursive: true }))

  test.each([
    ['return 1', 'its purpose, KEYS, ARGV, Returns'],
    ['-- Adds.\n-- KEYS[1] a\n-- ARGV none\nreturn 1', 'Returns'],
    ['-- KEYS[1] a\n-- ARGV none\n-- Returns 1\nreturn 1', 'its purpose, KEYS'],
    ['-- Adds.\nlocal a = KEYS[1]\n-- ARGV none\n-- Returns 1', 'KEYS, ARGV, Returns'],
  ])('is refused when its contract is incomplete: %j', (source, missing) => {
    writeFileSync(file, source)
    expect(() => defineScript(file)).toThrow(
      `The comment at the top of x.lua does not state ${missing}.`,
    )
  })
})
