import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  onFreePort,
  renderTemplate,
  renderUsers,
  startRedisServer,
  type RedisGroupKind,
  type RedisProcess,
} from '@wattle/servers'
import { credentials, findProgram } from './support.ts'

async function startGroup(group: RedisGroupKind, directory: string) {
  const program = await findProgram()
  return onFreePort((port) =>
    startRedisServer({
      program,
      directory,
      port,
      dieWithParent: true,
      config: renderTemplate(['node.conf', `${group}.conf`], {
        BIND: '127.0.0.1',
        PORT: port,
        ANNOUNCE_HOST: '127.0.0.1',
        DATA_DIRECTORY: directory,
        ACL_FILE: join(directory, 'users.acl'),
        REPLICATION_PASSWORD: credentials.replication,
        MIN_REPLICAS_TO_WRITE: 0,
        MAX_MEMORY: '64mb',
      }),
      files: {
        'users.acl': renderUsers({
          group,
          environment: 'test',
          credentials,
          grants: [
            { service: 'billing', group, rules: '%R~{environment}:events:*', why: 'reads events' },
          ],
        }),
      },
    }),
  )
}

describe.each(['cache', 'state'] as const)('R4: the users of the group %s', (group) => {
  const directory = mkdtempSync(join(tmpdir(), 'wattle-servers-'))
  let server: RedisProcess
  let billing: Redis
  let admin: Redis

  const login = (username: string, password: string) => {
    const client = new Redis({ port: server.port, username, password, retryStrategy: () => null })
    client.on('error', () => undefined)
    return client
  }
  beforeAll(async () => {
    server = await startGroup(group, directory)
    billing = login('billing', 'billing-password')
    admin = login('admin', credentials.admin)
  })
  afterAll(async () => {
    billing.disconnect()
    admin.disconnect()
    await server.stop()
    rmSync(directory, { recursive: true })
  })

  it('let a service read and write its own keys and use its own channels', async () => {
    expect(await billing.set('test:billing:a', '1')).toBe('OK')
    expect(await billing.get('test:billing:a')).toBe('1')
    expect(await billing.publish('test:billing:bus', 'x')).toBe(0)
    expect(await billing.info('replication')).toContain('role:master')
    expect(await billing.wait(0, 10)).toBe(0)
  })

  it.each([
    ['reads', 'GET test:user:a'],
    ['writes', 'SET test:user:a 1'],
    ['takes its own name in another environment', 'GET production:billing:a'],
    ['goes by a prefix that only begins alike', 'GET test:billing-archive:a'],
    ['publishes', 'PUBLISH test:user:bus x'],
    ['copies', 'COPY test:billing:a test:user:a'],
  ])('refuse a service that %s beyond its namespace', async (_, line) => {
    const [command = '', ...args] = line.split(' ')
    await expect(billing.call(command, ...args)).rejects.toThrow('NOPERM')
  })

  it('refuse keys and channels of another service inside scripts, declared or not', async () => {
    const denied = /NOPERM|user executing the script can't/
    const run = (script: string, ...keys: string[]) => billing.eval(script, keys.length, ...keys)
    await expect(run(`return redis.call('get', 'test:user:a')`)).rejects.toThrow(denied)
    await expect(run(`return redis.call('get', KEYS[1])`, 'test:user:a')).rejects.toThrow(denied)
    await expect(run(`return redis.call('publish', 'test:user:bus', '')`)).rejects.toThrow(denied)
    expect(await run(`return redis.call('set', KEYS[1], 1)`, 'test:billing:a')).toBe('OK')
  })

  it.each([
    'KEYS *',
    'FLUSHALL',
    'FLUSHDB',
    'CONFIG GET *',
    'ACL LIST',
    'SHUTDOWN',
    'REPLICAOF NO ONE',
    'CLIENT KILL TYPE normal',
    'CLIENT TRACKING on',
    'SCRIPT FLUSH',
    'FUNCTION FLUSH',
    'RANDOMKEY',
    'PUBSUB CHANNELS',
    'MONITOR',
  ])('refuse a service the command %s', async (line) => {
    const [command = '', ...args] = line.split(' ')
    await expect(billing.call(command, ...args)).rejects.toThrow('NOPERM')
  })

  it('let a service SCAN in the group cache only', async () => {
    const outcome = await billing.call('SCAN', '0').then(
      () => 'allowed',
      (error: Error) => error.message.split(' ')[0],
    )
    expect(outcome).toBe(group === 'cache' ? 'allowed' : 'NOPERM')
  })

  it('grant what the table of shared grants says, and to its service only', async () => {
    await admin.set('test:events:a', '1')
    expect(await billing.get('test:events:a')).toBe('1')
    await expect(billing.set('test:events:a', '2')).rejects.toThrow('NOPERM')
    const user = login('user', 'user-password')
    await expect(user.get('test:events:a')).rejects.toThrow('NOPERM')
    user.disconnect()
  })

  it('let nobody in without an account or with a wrong password', async () => {
    const anonymous = login('', '')
    await expect(anonymous.ping()).rejects.toThrow('NOAUTH')
    anonymous.disconnect()
    const wrong = login('billing', 'wrong')
    await expect(wrong.ping()).rejects.toThrow(/WRONGPASS|NOAUTH|closed/)
    wrong.disconnect()
  })
})

describe('R4: the users file', () => {
  it('holds no password in clear', () => {
    const file = renderUsers({ group: 'cache', environment: 'test', credentials })
    expect(file).not.toContain('password')
  })

  it.each(['*', 'a b', 'Billing', ''])('refuses the service name %j', (service) => {
    const named = { ...credentials, services: { [service]: 'x' } }
    expect(() => renderUsers({ group: 'cache', environment: 'test', credentials: named })).toThrow(
      'service name',
    )
  })
})
