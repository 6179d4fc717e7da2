import { spawn } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  freePort,
  identifyProcess,
  PortTakenError,
  startRedisTopology,
  type RedisGroupKind,
  type TopologyOptions,
} from '@wattle/servers'
import { redisInfo, redisQuery, type RedisAddress } from '../src/redis-query.ts'
import { credentials, findProgram, temporary, until } from './support.ts'

const admin = { username: 'admin', password: credentials.admin }
const ask = (node: RedisAddress, command: string, ...args: string[]) =>
  redisQuery(node, admin, command, args)

async function options(names: readonly RedisGroupKind[] = ['cache']): Promise<TopologyOptions> {
  const ports = () => Promise.all([freePort(), freePort(), freePort()])
  return {
    program: await findProgram(),
    directory: temporary(),
    environment: 'test',
    credentials,
    groups: await Promise.all(
      names.map(async (name) => ({ name, ports: await ports(), maxMemory: '64mb' })),
    ),
    sentinelPorts: await ports(),
    downAfterMs: 1000,
    dieWithParent: true,
  }
}

async function start(wanted: TopologyOptions) {
  const topology = await startRedisTopology(wanted)
  onTestFinished(() => topology.stop())
  return topology
}

describe('R5: a Redis that was killed', () => {
  it('comes back as a replica with the data, although it was a master with nothing on disk', async () => {
    const topology = await start(await options())
    const old = await topology.master('cache')
    await ask(old, 'SET', 'test:billing:a', '1')
    old.kill()
    await old.exited()
    // At once: the Sentinels still take it for the master.
    await old.start()
    expect((await topology.master('cache')).name).not.toBe(old.name)
    await until(async () => (await redisInfo(old, admin, 'replication'))['role'] === 'slave')
    await until(async () => (await ask(old, 'GET', 'test:billing:a')) === '1')
  }, 60_000)

  it('can be stopped while it waits for its new role', async () => {
    const topology = await start({ ...(await options()), downAfterMs: 60_000 })
    const old = await topology.master('cache')
    old.kill()
    await old.exited()
    const starting = old.start()
    await old.stop()
    await expect(starting).rejects.toThrow('was stopped while it was starting')
  })
})

describe('R5: after a full stop', () => {
  it('roles come from what the Sentinels saved, also on other ports, and nothing kept is lost', async () => {
    const first = await options(['cache', 'state'])
    let topology = await start(first)
    const master = await topology.master('state')
    await ask(master, 'SET', 'test:billing:a', '1')
    master.kill('SIGSTOP')
    await until(async () => (await topology.master('state')) !== master, 20_000)
    master.kill('SIGCONT')
    const successor = await topology.master('state')
    await until(async () => (await redisInfo(successor, admin, 'replication'))['role'] === 'master')
    await until(async () => {
      const set = ask(successor, 'SET', 'test:billing:b', '2')
      return (await set.catch(() => undefined)) === 'OK'
    })
    await topology.stop()

    const other = await options(['cache', 'state'])
    topology = await start({ ...other, directory: first.directory })
    const now = await topology.master('state')
    expect(now.name).toBe(successor.name)
    expect(now.port).not.toBe(successor.port)
    expect((await topology.master('cache')).name).toBe('cache-1')
    expect(await ask(now, 'MGET', 'test:billing:a', 'test:billing:b')).toEqual(['1', '2'])
  }, 90_000)

  it('the cache group is empty: what it held may have been invalidated since', async () => {
    const wanted = await options()
    let topology = await start(wanted)
    const [first, second] = topology.nodes('cache')
    if (!first || !second) throw new Error('no nodes')
    await ask(first, 'SET', 'test:billing:a', '1')
    // A replica that returns with data of its own gets a full copy by way of a file.
    await until(async () => (await ask(second, 'GET', 'test:billing:a')) === '1')
    second.kill()
    await second.exited()
    await second.start()
    await until(async () => (await ask(second, 'DBSIZE').catch(() => 0)) === 1)
    await topology.stop()
    writeFileSync(join(first.directory, 'dump.rdb'), 'what a killed replica left')
    topology = await start(wanted)
    expect(await ask(first, 'DBSIZE')).toBe(0)
    const files = topology.nodes('cache').flatMap(({ directory }) => readdirSync(directory))
    expect(files.filter((name) => /rdb|aof/.test(name))).toEqual([])
  }, 60_000)

  it('Sentinels remember who they are and do not begin their epochs anew', async () => {
    const wanted = await options()
    let topology = await start(wanted)
    const [sentinel] = topology.sentinels
    if (!sentinel) throw new Error('no Sentinel')
    await ask(sentinel, 'SENTINEL', 'FAILOVER', 'cache')
    await until(async () => (await topology.master('cache')).name !== 'cache-1', 20_000)
    const id = await ask(sentinel, 'SENTINEL', 'MYID')
    const name = (await topology.master('cache')).name
    await topology.stop()
    topology = await start(wanted)
    expect(await ask(sentinel, 'SENTINEL', 'MYID')).toBe(id)
    expect((await topology.master('cache')).name).toBe(name)
    const fields = (await ask(sentinel, 'SENTINEL', 'MASTER', 'cache')) as string[]
    expect(Number(fields[fields.indexOf('config-epoch') + 1])).toBeGreaterThan(0)
  }, 90_000)
})

describe('a topology', () => {
  it('whose supervisor was killed with -9 is found and replaced by the next start', async () => {
    const wanted = { ...(await options()), dieWithParent: false }
    const fixture = fileURLToPath(new URL('fixtures/supervisor.ts', import.meta.url))
    const supervisor = spawn(process.execPath, [fixture, JSON.stringify(wanted)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const line = await new Promise<string>((resolve) => {
      supervisor.stdout.setEncoding('utf8').once('data', resolve)
    })
    const pids = JSON.parse(line) as number[]
    onTestFinished(() => {
      for (const pid of pids) if (identifyProcess(pid)) process.kill(pid, 'SIGKILL')
    })
    supervisor.kill('SIGKILL')
    await new Promise((resolve) => supervisor.once('exit', resolve))
    expect(pids.filter((pid) => identifyProcess(pid))).toHaveLength(6)

    const lines: string[] = []
    await start({ ...wanted, dieWithParent: true, log: (text) => lines.push(text) })
    expect(pids.filter((pid) => identifyProcess(pid))).toEqual([])
    expect(lines).toContain('Stopped 6 Redis servers that were left running')
  }, 60_000)

  it('leaves nothing running when one of its ports is taken, and names the port', async () => {
    const held = await start(await options())
    const [taken] = held.sentinels
    const wanted = await options()
    const sentinelPorts = [...wanted.sentinelPorts.slice(1), taken?.port ?? 0]
    const failed = startRedisTopology({ ...wanted, sentinelPorts })
    await expect(failed).rejects.toThrow(PortTakenError)
    await expect(failed).rejects.toMatchObject({ port: taken?.port })
    const [port = 0] = wanted.groups[0]?.ports ?? []
    await expect(ask({ host: '127.0.0.1', port }, 'PING')).rejects.toThrow('closed')
  }, 60_000)

  it('whose start is aborted stops what it had started', async () => {
    const abort = new AbortController()
    const wanted = await options()
    const starting = startRedisTopology({ ...wanted, signal: abort.signal })
    abort.abort(new Error('Ctrl-C'))
    await expect(starting).rejects.toThrow('Ctrl-C')
    const [port = 0] = wanted.groups[0]?.ports ?? []
    await expect(ask({ host: '127.0.0.1', port }, 'PING')).rejects.toThrow('closed')
  })

  it('gives each service a URL of its own', async () => {
    const topology = await start(await options())
    const url = topology.url('cache', 'billing')
    expect(url).toMatch(/^redis\+sentinel:\/\/billing:billing-password@[\d.:,]+\/cache\?/)
    expect(url).toContain('sentinelUser=discovery&sentinelPassword=discovery-password')
    expect(() => topology.url('cache', 'nobody')).toThrow('no Redis user nobody')
    expect(topology.servers.map(({ name }) => name).join()).toBe(
      'cache-1,cache-2,cache-3,sentinel-1,sentinel-2,sentinel-3',
    )
  })
})
