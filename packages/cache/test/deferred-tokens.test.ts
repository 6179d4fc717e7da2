import { eventually, startProxy } from '@wattle/testkit'
import { describe, expect } from 'vitest'
import { test } from './setup.ts'

const line = { ttl: '1m' } as const

describe('C13 consistency tokens of deferred invalidations', () => {
  test('a read with one asks the source, in a process that knows of nothing', async ({
    server,
    openAt,
  }) => {
    await using proxy = await startProxy(server)
    const [far, near] = [openAt(`redis://127.0.0.1:${proxy.port}`), openAt(server.url)]
    let word = 'old'
    const load = async () => word
    const [written, read] = [far, near].map(({ cache }) => cache.kind<string>('word', line))
    await eventually(async () => {
      expect(far.cache.synchronized && near.cache.synchronized).toBe(true)
      expect((await read?.read('x', load))?.tier).toBe('l1')
    })
    proxy.blackhole()
    word = 'new'
    const put = await written?.set('y', 'new')
    const { outcome, token } = await far.cache.invalidate([written!.ref('x')])
    expect([outcome, put?.outcome]).toEqual(['deferred', 'deferred'])
    expect(await read?.read('x', load, { after: token })).toMatchObject({
      value: 'new',
      status: 'bypass',
    })
    expect(await read?.read('y', load, { after: put?.token ?? '' })).toMatchObject({
      status: 'bypass',
    })
  })

  test('who has read with a token does not get the older value without it', async ({ open }) => {
    const [writer, reader] = [await open(), await open()]
    let word = 'old'
    const load = async () => word
    const [written, read] = [writer, reader].map(({ cache }) => cache.kind<string>('word', line))
    await eventually(async () => expect((await read?.read('x', load))?.tier).toBe('l1'))
    word = 'new'
    const before = await written?.getOrSet('x', load)
    expect(before).toBe('old')
    // A token that this process has not covered: of another history.
    expect(await read?.getOrSet('x', load, { after: `0:${'f'.repeat(16)}:1` })).toBe('new')
    expect((await read?.read('x', load))?.tier).not.toBe('l1')
  })
})
