import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Profile, SecurityEventPage, Session, Tokens } from '@wattle/contracts'
import { migrate } from '@wattle/database'
import { generateSigningKey, readSigningKeys } from '@wattle/identity'
import { eventually, startDatabase, startRedis } from '@wattle/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startProcess } from './process.ts'

const migrations = fileURLToPath(new URL('../../user/migrations', import.meta.url))

/** Two gateways and the user service as processes of their own, with the Redis users of production. */
async function startPlatform() {
  const [database, cache, state] = await Promise.all([
    startDatabase({ service: 'user', migrations, migrate }),
    startRedis({ acl: true }),
    startRedis({ acl: true, group: 'state' }),
  ])
  const internalKey = generateSigningKey()
  const publisher = createServer((_request, response) => {
    response.end(JSON.stringify(readSigningKeys(internalKey).jwks))
  }).listen(0, '127.0.0.1')
  await once(publisher, 'listening')
  const { port } = publisher.address() as AddressInfo
  const accessKey = generateSigningKey()
  const startUser = () =>
    startProcess('user', {
      DATABASE_URL_USER: database.url,
      WATTLE_REDIS_CACHE_URL: cache.urlFor('user'),
      WATTLE_REDIS_STATE_URL: state.urlFor('user'),
      WATTLE_SESSION_SECRET: Buffer.alloc(32, 'session').toString('base64'),
      WATTLE_INTERNAL_JWKS_URL: `http://127.0.0.1:${port}/.well-known/jwks.json`,
      WATTLE_ACCESS_SIGNING_KEY: accessKey,
    })
  const users = [await startUser()]
  const [user] = users
  if (user === undefined) throw new Error('there is no user service')
  const userUrl = await user.url()
  const startGateway = () =>
    startProcess('gateway', {
      WATTLE_USER_URL: userUrl,
      WATTLE_PAYMENT_URL: 'http://127.0.0.1:1',
      WATTLE_BILLING_URL: 'http://127.0.0.1:1',
      WATTLE_REDIS_CACHE_URL: cache.urlFor('gateway'),
      WATTLE_REDIS_STATE_URL: state.urlFor('gateway'),
      WATTLE_INTERNAL_SIGNING_KEY: internalKey,
    })
  const gateways = await Promise.all([startGateway(), startGateway()])
  const urls = await Promise.all(gateways.map((one) => one.url()))
  return {
    database,
    state,
    urls,
    user,
    /** Another copy of the user service. */
    async anotherUser() {
      const another = await startUser()
      users.push(another)
      await another.url()
    },
    async stop() {
      await Promise.all([...users, ...gateways].map((one) => one.stop('SIGKILL')))
      publisher.close()
      await Promise.all([database.drop(), cache.stop(), state.stop()])
    },
  }
}

let platform: Awaited<ReturnType<typeof startPlatform>>
beforeAll(async () => {
  platform = await startPlatform()
}, 60_000)
afterAll(() => platform.stop())

const [one, two] = [() => platform.urls[0] ?? '', () => platform.urls[1] ?? '']

function send(
  url: string,
  method: string,
  path: string,
  {
    token,
    body,
    headers = {},
  }: { token?: string; body?: object; headers?: Record<string, string> } = {},
) {
  return fetch(`${url}${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? null : JSON.stringify(body),
  })
}

let people = 0
async function signUp(headers: Record<string, string> = {}) {
  const account = { email: `session${people++}@example.com`, password: 'correct horse battery' }
  const registered = await send(one(), 'POST', '/api/auth/register', {
    body: { ...account, name: 'Ada' },
  })
  const profile = (await registered.json()) as Profile
  const login = await send(one(), 'POST', '/api/auth/login', { body: account, headers })
  expect(login.status).toBe(200)
  return { ...account, profile, tokens: (await login.json()) as Tokens }
}

const statusOf = async (url: string, token: string, path = '/api/me') =>
  (await send(url, 'GET', path, { token })).status

/** A payment that nothing is behind: 503 either way, told apart by what it says. */
async function payment(token: string) {
  const reply = await send(one(), 'POST', '/api/payments', { token, body: {} })
  return ((await reply.json()) as { detail: string }).detail
}

describe('T3 a session that was ended', () => {
  test('is refused by every gateway within 5 seconds, and by all that the tokens could still open', async () => {
    const { tokens } = await signUp()
    const token = tokens.accessToken
    await eventually(async () => expect(await statusOf(two(), token)).toBe(200))
    expect((await send(one(), 'POST', '/api/auth/logout', { token })).status).toBe(204)
    await eventually(
      async () => {
        for (const url of platform.urls) expect(await statusOf(url, token)).toBe(401)
      },
      { withinMs: 5_000, everyMs: 5 },
    )
    const reply = await send(two(), 'GET', '/api/me', { token })
    expect(await reply.json()).toMatchObject({
      code: 'UNAUTHENTICATED',
      detail: 'This session has ended; log in again.',
    })
    const body = { refreshToken: tokens.refreshToken }
    expect((await send(two(), 'POST', '/api/auth/refresh', { body })).status).toBe(401)
  })

  test('goes on by refreshing until it is ended, and the tokens of before the refresh end with it', async () => {
    const { tokens } = await signUp()
    const refreshed = await send(two(), 'POST', '/api/auth/refresh', {
      body: { refreshToken: tokens.refreshToken },
    })
    const next = (await refreshed.json()) as Tokens
    expect(await statusOf(one(), next.accessToken)).toBe(200)
    const list = await send(one(), 'GET', '/api/me/sessions', { token: next.accessToken })
    const { items } = (await list.json()) as { items: (Session & { current: boolean })[] }
    expect(items).toMatchObject([{ id: tokens.sessionId, current: true, address: '127.0.0.1' }])
    const path = `/api/me/sessions/${tokens.sessionId}`
    expect((await send(one(), 'DELETE', path, { token: next.accessToken })).status).toBe(204)
    await eventually(async () => {
      expect(await statusOf(one(), next.accessToken)).toBe(401)
      expect(await statusOf(two(), tokens.accessToken)).toBe(401)
    })
  })

  test('that was stolen is refused everywhere once the thief or the owner comes second', async () => {
    const { tokens } = await signUp()
    const refresh = (refreshToken: string) =>
      send(one(), 'POST', '/api/auth/refresh', { body: { refreshToken } })
    const thief = (await (await refresh(tokens.refreshToken)).json()) as Tokens
    await refresh(thief.refreshToken)
    expect((await refresh(tokens.refreshToken)).status).toBe(401)
    await eventually(async () => {
      expect(await statusOf(two(), thief.accessToken)).toBe(401)
      expect(await statusOf(one(), tokens.accessToken)).toBe(401)
    })
  })
})

describe('T3 without Redis', () => {
  test('the user service is asked: money goes on, and what is ended is refused; without both, money fails closed', async () => {
    const [person, ended] = [await signUp(), await signUp()]
    const token = person.tokens.accessToken
    await eventually(async () => expect(await payment(token)).toMatch(/payment service/))
    await platform.state.kill()
    await eventually(async () => {
      const metrics = await (await fetch(`${one()}/metrics`)).text()
      expect(metrics).toMatch(/wattle_revocations_synchronized\{[^}]*\} 0/)
    })
    expect(await payment(token)).toMatch(/payment service/)
    expect(await statusOf(one(), token)).toBe(200)
    const gone = ended.tokens.accessToken
    expect((await send(one(), 'POST', '/api/auth/logout', { token: gone })).status).toBe(204)
    for (const url of platform.urls) {
      await eventually(async () => expect(await statusOf(url, gone)).toBe(401))
    }

    void platform.user.stop('SIGSTOP')
    try {
      await eventually(async () => expect(await payment(token)).toMatch(/cannot be told/))
    } finally {
      void platform.user.stop('SIGCONT')
    }
    await platform.state.restart()
    await eventually(
      async () => {
        for (const url of platform.urls) expect(await statusOf(url, gone)).toBe(401)
        const metrics = await (await fetch(`${one()}/metrics`)).text()
        expect(metrics).toMatch(/wattle_revocations_synchronized\{[^}]*\} 1/)
      },
      { withinMs: 10_000 },
    )
    expect(await statusOf(two(), token)).toBe(200)
  }, 40_000)
})

describe('T7 what a client claims of itself', () => {
  test('no X-Forwarded-For and no internal header of a client reaches the user service', async () => {
    const spoofed = {
      'x-forwarded-for': '6.6.6.6',
      'x-real-ip': '6.6.6.6',
      forwarded: 'for=6.6.6.6',
      'x-wattle-user': 'usr_1',
    }
    const { tokens } = await signUp(spoofed)
    const token = tokens.accessToken
    const reply = await send(one(), 'GET', '/api/me/security-events', { token, headers: spoofed })
    const { items } = (await reply.json()) as SecurityEventPage
    expect(items.find(({ type }) => type === 'login.succeeded')?.address).toBe('127.0.0.1')
    expect(JSON.stringify(items)).not.toContain('6.6.6.6')
  })

  test('other addresses claimed give no further guesses', async () => {
    const { email } = await signUp()
    const statuses: number[] = []
    for (let n = 0; n < 12; n++) {
      const body = { email, password: `wrong ${n}` }
      const headers = { 'x-forwarded-for': `7.7.${n}.7` }
      statuses.push((await send(one(), 'POST', '/api/auth/login', { body, headers })).status)
    }
    expect(statuses.slice(0, 5)).toEqual(Array<number>(5).fill(401))
    expect(statuses.at(-1)).toBe(429)
  })

  test('the role of an operator is not got by asking', async () => {
    const { tokens, profile } = await signUp()
    const path = `/api/operator/users/${profile.id}/sessions`
    expect(await statusOf(one(), tokens.accessToken, path)).toBe(403)
    expect((await send(one(), 'GET', path)).status).toBe(401)
  })
})

describe('the inbox of this machine', () => {
  test('is a page of the gateway outside production', async () => {
    const { email } = await signUp()
    await eventually(async () => {
      const reply = await fetch(`${one()}/inbox`)
      expect(reply.status).toBe(200)
      expect(await reply.text()).toContain(email)
    })
  })
})

describe('T3 a user service that is killed', () => {
  test('after it committed and before it published leaves nothing behind: another copy publishes it', async () => {
    const { tokens } = await signUp()
    const token = tokens.accessToken
    await eventually(async () => expect(await statusOf(two(), token)).toBe(200))
    platform.state.freeze()
    try {
      expect((await send(one(), 'POST', '/api/auth/logout', { token })).status).toBe(204)
      await platform.user.stop('SIGKILL')
    } finally {
      platform.state.thaw()
    }
    await platform.anotherUser()
    await eventually(
      async () => {
        for (const url of platform.urls) expect(await statusOf(url, token)).toBe(401)
      },
      { withinMs: 10_000 },
    )
  }, 30_000)
})
