import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, startRedis, type TestRedis } from '@wattle/testkit'
import { connectRedis, parseInfo, type RedisConnection } from '../src/index.ts'
import { parseClusterNodes } from '../src/topology.ts'

describe('M4: INFO of a real server', () => {
  let server: TestRedis
  let redis: RedisConnection
  beforeAll(async () => {
    server = await startRedis({ maxMemory: '64mb' })
    redis = connectRedis({ url: server.url, name: 'info' })
    expect(await redis.whenReady(3000)).toBe(true)
  })
  afterAll(async () => {
    await redis.close()
    await server.stop()
  })

  test('is read by section, with units', async () => {
    await redis.client.set('a', '1')
    await redis.client.set('b', '1', 'PX', 60_000)
    await redis.client.mget('a', 'none')
    const [info] = await redis.info()
    expect(info).toMatchObject({
      server: { version: expect.stringMatching(/^\d+\.\d+/), mode: 'standalone' },
      memory: { maxBytes: 64 * 1024 * 1024, maxPolicy: 'volatile-lfu' },
      replication: { role: 'master', replicas: [] },
      stats: { keyspaceHits: 1, keyspaceMisses: 1, evictedKeys: 0 },
      keyspace: { 0: { keys: 2, expires: 1 } },
    })
    expect(info?.memory?.usedBytes).toBeGreaterThan(100_000)
    expect(info?.replication?.replicationId).toMatch(/^[0-9a-f]{40}$/)
    expect(info?.sections['server']?.['redis_version']).toBe(info?.server?.version)
  })

  test('of one section leaves out the others', async () => {
    const [info] = await redis.info('clients')
    expect(info?.clients?.connected).toBeGreaterThan(0)
    expect(info?.memory).toBeUndefined()
    expect(Object.keys(info?.sections ?? {})).toEqual(['clients'])
  })

  test('counts what evictions and time took', async () => {
    await redis.client.set('short', '1', 'PX', 1)
    await eventually(async () => {
      const [info] = await redis.info('stats')
      expect(info?.stats?.expiredKeys).toBeGreaterThan(0)
    })
  })
})

describe('M5: roles and replicas', () => {
  test('a master tells how far each replica is behind', () => {
    const text = [
      '# Replication',
      'role:master',
      'connected_slaves:2',
      'slave0:ip=10.0.0.2,port=6381,state=online,offset=900,lag=0',
      'slave1:ip=::1,port=6382,state=wait_bgsave,offset=0,lag=7',
      'master_replid:abc',
      'master_repl_offset:1000',
    ].join('\r\n')
    expect(parseInfo(text).replication).toEqual({
      role: 'master',
      replicationId: 'abc',
      offset: 1000,
      replicas: [
        { host: '10.0.0.2', port: 6381, online: true, lagBytes: 100, lagSeconds: 0 },
        { host: '::1', port: 6382, online: false, lagBytes: 1000, lagSeconds: 7 },
      ],
    })
  })

  test('a replica tells its master, and whether it hears it', () => {
    const text =
      '# Replication\r\nrole:slave\r\nmaster_host:a\r\nmaster_port:1\r\nmaster_link_status:down\r\n' +
      'slave_repl_offset:5\r\nmaster_replid:x\r\n'
    expect(parseInfo(text).replication).toMatchObject({
      role: 'replica',
      offset: 5,
      master: { host: 'a', port: 1, linkUp: false },
    })
  })

  test('what is not INFO is empty rather than an error', () => {
    expect(parseInfo('')).toEqual({ sections: {} })
    expect(parseInfo('loose:1').sections).toEqual({ '': { loose: '1' } })
  })

  test('nodes of a cluster are read with their slots, also while slots move and nodes fail', () => {
    const text = [
      'id1 10.0.0.1:7000@17000,name myself,master - 0 0 1 connected 0-99 200 [93-<-id2]',
      'id2 10.0.0.2:7000@17000 slave id1 0 0 1 connected',
      'id3 10.0.0.3:7000@17000 master,fail? - 0 0 2 disconnected 100-199',
      '',
    ].join('\n')
    const node = { port: 7000, keys: undefined }
    expect(parseClusterNodes(text)).toEqual([
      { ...node, id: 'id1', host: '10.0.0.1', role: 'master', healthy: true, slots: 101 },
      {
        ...node,
        id: 'id2',
        host: '10.0.0.2',
        role: 'replica',
        masterId: 'id1',
        healthy: true,
        slots: 0,
      },
      { ...node, id: 'id3', host: '10.0.0.3', role: 'master', healthy: false, slots: 100 },
    ])
  })
})
