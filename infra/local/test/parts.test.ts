import { createPublicKey } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createBackoff, seconds } from '../src/backoff.ts'
import { openHome } from '../src/home.ts'
import { namedPorts, planPorts } from '../src/ports.ts'
import { openSecrets } from '../src/secrets.ts'
import { serviceEnvironment } from '../src/service-environment.ts'

const directory = mkdtempSync(join(tmpdir(), 'wattle-parts-'))
afterAll(() => rmSync(directory, { recursive: true }))

describe('ports', () => {
  test('are those of the documentation unless they are moved', () => {
    expect(planPorts({})).toMatchObject({
      services: { gateway: 3000, user: 3001, billing: 3003 },
      cache: [6380, 6381, 6382],
      state: [6390, 6391, 6392],
      sentinels: [26380, 26381, 26382],
    })
    expect(planPorts({ WATTLE_HTTP_PORT_BASE: '4000' }).services).toMatchObject({ gateway: 4000 })
  })

  test('each have a name and the variable that moves them', () => {
    const found = namedPorts(planPorts({})).find(({ port }) => port === 6391)
    expect(found).toEqual({ port: 6391, name: 'Redis "state" 2', base: 'WATTLE_STATE_PORT_BASE' })
  })

  test.each(['80', '70000', '3000.5', 'x'])('a base of %s is refused by name', (text) => {
    expect(() => planPorts({ WATTLE_CACHE_PORT_BASE: text })).toThrow('WATTLE_CACHE_PORT_BASE')
  })
})

describe('the wait before something is started again', () => {
  test('doubles from 0.2 s to 10 s, and begins anew after a healthy time', () => {
    let now = 0
    const backoff = createBackoff(() => now)
    const delays = Array.from({ length: 8 }, () => {
      backoff.started()
      return backoff.delayMs()
    })
    expect(delays).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000])
    backoff.started()
    now += 60_000
    expect(backoff.delayMs()).toBe(200)
    expect(seconds(200)).toBe('0.2 s')
    expect(seconds(10_000)).toBe('10 s')
  })
})

describe('secrets', () => {
  test('are made once, kept, and readable by their owner only; a new service gets its own', () => {
    const first = openSecrets(directory, ['user'])
    const second = openSecrets(directory, ['user', 'tenth'])
    expect(second.redis).toMatchObject({ admin: first.redis.admin })
    expect(second.databases['user']).toEqual(first.databases['user'])
    expect(second.redis.services['tenth']).toMatch(/^[\w-]{30,}$/)
    const all = [
      ...Object.values(second.redis.services),
      ...Object.values(second.databases).flatMap((one) => Object.values(one)),
    ]
    expect(new Set(all).size).toBe(all.length)
    const keyFile = second.files['user']?.['WATTLE_ACCESS_SIGNING_KEY'] ?? ''
    for (const file of [join(directory, 'passwords.json'), keyFile]) {
      expect(statSync(file).mode & 0o777).toBe(0o600)
    }
    const key = createPublicKey(readFileSync(keyFile))
    expect(key.asymmetricKeyType).toBe('ed25519')
  })

  test('in a damaged file are not overwritten', () => {
    const damaged = mkdtempSync(join(directory, 'damaged-'))
    writeFileSync(join(damaged, 'passwords.json'), '{')
    expect(() => openSecrets(damaged, [])).toThrow('restore it, or delete it')
  })
})

describe('R4 the environment of a service', () => {
  const home = openHome({ WATTLE_HOME: join(directory, 'home') })
  const environmentOf = (service: string, env: NodeJS.ProcessEnv = {}) =>
    serviceEnvironment(service, {
      env,
      home,
      ports: planPorts({}),
      secrets: openSecrets(home.secrets, ['gateway', 'user', 'billing']),
      databaseUrl: service === 'gateway' ? undefined : `postgresql://${service}@/x`,
      redisUrl: (group, user) => `redis://${user}/${group}`,
    })

  test('holds its own secrets and nobody else’s', () => {
    const env = {
      DATABASE_URL_USER: 'u',
      DATABASE_URL_BILLING: 'b',
      DATABASE_OWNER_URL_USER: 'o',
      WATTLE_ACCESS_SIGNING_KEY: 'k',
    }
    expect(environmentOf('billing', env)).not.toHaveProperty('DATABASE_URL_USER')
    expect(environmentOf('billing', env)).not.toHaveProperty('DATABASE_OWNER_URL_USER')
    expect(environmentOf('billing', env)).not.toHaveProperty('WATTLE_ACCESS_SIGNING_KEY')
    expect(environmentOf('billing')).toMatchObject({
      DATABASE_URL_BILLING: 'postgresql://billing@/x',
      WATTLE_REDIS_CACHE_URL: 'redis://billing/cache',
    })
    expect(environmentOf('gateway')).toHaveProperty('WATTLE_INTERNAL_SIGNING_KEY_FILE')
    expect(environmentOf('billing')).not.toHaveProperty('WATTLE_INTERNAL_SIGNING_KEY_FILE')
  })

  test('names the other services, and leaves a signing key given from outside alone', () => {
    const env = environmentOf('user', { WATTLE_ACCESS_SIGNING_KEY: 'mine', npm_config_x: '1' })
    expect(env).toMatchObject({
      WATTLE_SERVICE_PORT: '3001',
      WATTLE_BILLING_URL: 'http://127.0.0.1:3003',
      WATTLE_ACCESS_SIGNING_KEY: 'mine',
    })
    expect(env).not.toHaveProperty('WATTLE_ACCESS_SIGNING_KEY_FILE')
    expect(env).not.toHaveProperty('npm_config_x')
  })
})
