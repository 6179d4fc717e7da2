import { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { eventually, startSentinelGroup } from '@wattle/testkit'

describe('a Sentinel group', () => {
  it('is ready to fail over within seconds of its start, and then does', async () => {
    const started = performance.now()
    await using group = await startSentinelGroup()
    console.log(`a Sentinel group was ready after ${Math.round(performance.now() - started)} ms`)
    expect(performance.now() - started).toBeLessThan(9000)

    const old = await group.master()
    await group.client(old).set('test:billing:a', '1')
    const killed = performance.now()
    await group.kill(old)
    const next = await eventually(
      async () => {
        const master = await group.master()
        expect(master).not.toBe(old)
        return master
      },
      { withinMs: 15_000 },
    )
    const tookMs = Math.round(performance.now() - killed)
    console.log(`after a kill the Sentinels named another master after ${tookMs} ms`)
    const client = group.client(next)
    expect(await eventually(() => client.get('test:billing:a'))).toBe('1')

    await group.restart(old)
    await group.whenReady()
    expect(await group.client(old).info('replication')).toContain('role:slave')
    expect(await group.client(old).get('test:billing:a')).toBe('1')
  })

  it('a frozen master hangs its clients, loses its place, and follows the new one after the thaw', async () => {
    await using group = await startSentinelGroup({ downAfterMs: 1000 })
    const old = await group.master()
    const client = group.client(old, { commandTimeout: 300 })
    await client.ping()
    group.freeze(old)
    await expect(client.ping()).rejects.toThrow('timed out')
    await eventually(async () => expect(await group.master()).not.toBe(old), { withinMs: 15_000 })
    group.thaw(old)
    await eventually(
      async () => expect(await group.client(old).info('replication')).toContain('role:slave'),
      { withinMs: 15_000 },
    )
  })

  it('moves the master on request, and takes new requests afterwards', async () => {
    await using group = await startSentinelGroup()
    const old = await group.master()
    const next = await group.failover()
    expect(next).not.toBe(old)
    expect(await group.client(next).set('test:billing:a', '1')).toBe('OK')
  })

  it('gives a service its own keys only, and a Sentinel account that can change nothing', async () => {
    await using group = await startSentinelGroup()
    const url = new URL(group.urlFor('billing').replace(/@[^/]+/, '@localhost'))
    const billing = { username: url.username, password: url.password }
    const client = group.client(await group.master(), billing)
    expect(await client.set('test:billing:a', '1')).toBe('OK')
    await expect(client.get('test:user:a')).rejects.toThrow('NOPERM')

    const [sentinel] = group.sentinels
    if (!sentinel) throw new Error('no Sentinel')
    const discovery = group.client(sentinel, {
      username: 'discovery',
      password: group.credentials.discovery,
    })
    expect(await discovery.call('SENTINEL', 'get-master-addr-by-name', 'cache')).toHaveLength(2)
    await expect(discovery.call('SENTINEL', 'failover', 'cache')).rejects.toThrow('NOPERM')
    const anonymous = new Redis({ host: sentinel.host, port: sentinel.port, lazyConnect: true })
    anonymous.on('error', () => undefined)
    await expect(anonymous.call('SENTINEL', 'masters')).rejects.toThrow('NOAUTH')
    anonymous.disconnect()
  })
})
