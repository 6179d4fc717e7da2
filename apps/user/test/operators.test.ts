import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SecurityEventPage, SessionStatistics, Tokens } from '@wattle/contracts'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { cleanUp } from '../src/janitor.ts'
import { startUser, type UserWorld } from './world.ts'

let world: UserWorld
let operator: Awaited<ReturnType<UserWorld['operator']>>
beforeAll(async () => {
  world = await startUser()
  operator = await world.operator()
})
beforeEach(() => {
  world.clock.aheadMs = 0
})
afterAll(() => world.stop())

const revoked = (accessToken: string) =>
  eventually(async () => expect(await world.verdict(accessToken)).toBe('revoked'))

describe('T3 an operator', () => {
  test('sees the sessions of a person and ends all of them', async () => {
    const person = await world.loggedIn()
    const other = (await world.login(person.email, person.password)).json<Tokens>()
    const url = `/operator/users/${person.profile.id}/sessions`
    const { items } = (await operator.with('GET', url)).json<{ items: { id: string }[] }>()
    expect(items.map(({ id }) => id)).toEqual([other.sessionId, person.tokens.sessionId])
    expect((await operator.with('DELETE', url)).json()).toEqual({ ended: 2 })
    await revoked(person.tokens.accessToken)
    await revoked(other.accessToken)
    const again = (await world.login(person.email, person.password)).json<Tokens>()
    expect(await world.verdict(again.accessToken)).toBe('valid')
  })

  test.each([
    ['token', 'tokenId'],
    ['session', 'sessionId'],
    ['family', 'familyId'],
  ] as const)('revokes one %s by its id', async (_what, claim) => {
    const person = await world.loggedIn()
    const principal = await world.people.verify(person.tokens.accessToken)
    const reply = await operator.with('POST', '/operator/revocations', { id: principal[claim] })
    expect([reply.statusCode, reply.json()]).toEqual([200, { published: true }])
    await revoked(person.tokens.accessToken)
    const refreshed = await world.refresh(person.tokens.refreshToken)
    expect(refreshed.statusCode).toBe(claim === 'tokenId' ? 200 : 401)
  })

  test('is told of a session that there is not, and of what is no id', async () => {
    const id = 'ses_01936b0e-7c1a-7000-8000-000000000009'
    expect((await operator.with('POST', '/operator/revocations', { id })).statusCode).toBe(404)
    for (const bad of ['', 'usr_1', 'ses_*', `${id} `]) {
      const reply = await operator.with('POST', '/operator/revocations', { id: bad })
      expect(reply.statusCode).toBe(400)
    }
    const nobody = '/operator/users/usr_01936b0e-7c1a-7000-8000-000000000009'
    expect((await operator.with('DELETE', `${nobody}/sessions`)).statusCode).toBe(404)
    const status = { status: 'disabled' }
    expect((await operator.with('PUT', `${nobody}/status`, status)).statusCode).toBe(404)
  })

  test('disables an account, which ends its sessions, and enables it again', async () => {
    const person = await world.loggedIn()
    const url = `/operator/users/${person.profile.id}/status`
    expect((await operator.with('PUT', url, { status: 'disabled' })).statusCode).toBe(204)
    await revoked(person.tokens.accessToken)
    expect((await world.refresh(person.tokens.refreshToken)).statusCode).toBe(401)
    expect((await world.login(person.email, person.password)).statusCode).toBe(401)
    expect((await operator.with('PUT', url, { status: 'active' })).statusCode).toBe(204)
    expect((await world.login(person.email, person.password)).statusCode).toBe(200)
  })

  test('leaves a trace of every act in the security log of the person, and reads it', async () => {
    const person = await world.loggedIn()
    const at = `/operator/users/${person.profile.id}`
    await operator.with('DELETE', `${at}/sessions`)
    await operator.with('PUT', `${at}/status`, { status: 'disabled' })
    const { items } = (
      await operator.with('GET', `${at}/security-events`)
    ).json<SecurityEventPage>()
    expect(items.map(({ type }) => type).slice(0, 2)).toEqual([
      'account.disabled',
      'session.revoked',
    ])
    const sql = 'select actor_id from security_events where user_id = $1 and actor_id is not null'
    const actors = await world.postgres.query(sql, [person.profile.id])
    expect(actors.map((row) => row['actor_id'])).toEqual(Array(2).fill(operator.profile.id))
  })

  test('is who has that role, and nobody else', async () => {
    const [person, victim] = [await world.loggedIn(), await world.loggedIn()]
    const at = `/operator/users/${victim.profile.id}`
    const replies = [
      await person.with('GET', `${at}/sessions`),
      await person.with('DELETE', `${at}/sessions`),
      await person.with('GET', `${at}/security-events`),
      await person.with('PUT', `${at}/status`, { status: 'disabled' }),
      await person.with('POST', '/operator/revocations', { id: victim.tokens.sessionId }),
      await person.with('GET', '/operator/sessions/statistics'),
    ]
    expect(replies.map(({ statusCode }) => statusCode)).toEqual(Array(6).fill(403))
    expect(await world.verdict(victim.tokens.accessToken)).toBe('valid')
  })
})

describe('T6 statistics', () => {
  const read = async () =>
    (await operator.with('GET', '/operator/sessions/statistics')).json<SessionStatistics>()

  test('count sessions, families, refresh tokens, revocations and reuse', async () => {
    const before = await read()
    const person = await world.loggedIn()
    await world.refresh(person.tokens.refreshToken)
    const thief = await world.loggedIn()
    await world.refresh(thief.tokens.refreshToken)
    world.clock.aheadMs = 11_000
    await world.refresh(thief.tokens.refreshToken)
    expect(await read()).toEqual({
      active: before.active + 1,
      total: before.total + 2,
      families: before.families + 1,
      refreshTokensIssued: before.refreshTokensIssued + 4,
      revoked: before.revoked + 2,
      reuseDetected: before.reuseDetected + 1,
    })
  })

  test('stand among the metrics', async () => {
    await world.login((await world.register()).email, 'wrong password')
    const { body } = await world.app.inject('/metrics')
    const valueOf = (name: string) =>
      Number(new RegExp(`^${name.replaceAll(/[{}"]/g, '\\$&')} (\\d+)$`, 'm').exec(body)?.[1])
    expect(valueOf('wattle_sessions_active{service="user"}')).toBeGreaterThan(0)
    expect(valueOf('wattle_sessions_total{service="user"}')).toBeGreaterThan(0)
    expect(valueOf('wattle_token_families{service="user"}')).toBeGreaterThan(0)
    expect(valueOf('wattle_revocations_live{service="user"}')).toBeGreaterThan(0)
    expect(valueOf('wattle_tokens_issued_total{reason="login",service="user"}')).toBeGreaterThan(0)
    expect(valueOf('wattle_token_refreshes_total{outcome="reused",service="user"}')).toBe(1)
    expect(valueOf('wattle_login_attempts_total{result="failed",service="user"}')).toBeGreaterThan(
      0,
    )
  })
})

describe('what is over', () => {
  test('is deleted in time, and nothing that still matters', async () => {
    const person = await world.loggedIn()
    await person.with('POST', '/auth/logout')
    const live = await world.loggedIn()
    const count = async (table: string) =>
      (await world.postgres.query(`select count(*)::int as n from ${table}`))[0]?.['n']
    const before = [await count('sessions'), await count('revocations')]
    await cleanUp(world.database, Date.now())
    expect([await count('sessions'), await count('revocations')]).toEqual(before)
    expect((await world.refresh(live.tokens.refreshToken)).statusCode).toBe(200)
    await cleanUp(world.database, Date.now() + 61 * 24 * 60 * 60_000)
    for (const table of ['sessions', 'refresh_tokens', 'revocations', 'one_time_codes']) {
      expect([table, await count(table)]).toEqual([table, 0])
    }
    expect(await count('security_events')).toBeGreaterThan(0)
    await cleanUp(world.database, Date.now() + 400 * 24 * 60 * 60_000)
    expect(await count('security_events')).toBe(0)
  })
})

describe('the command that makes an operator', () => {
  const command = fileURLToPath(new URL('../src/make-operator.ts', import.meta.url))

  async function make(
    parameters: readonly string[],
    stdin: string,
    env: Record<string, string> = {},
  ) {
    const child = spawn(process.execPath, [command, ...parameters], {
      env: { DATABASE_URL_USER: world.postgres.url, ...env },
    })
    let output = ''
    let errors = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
    child.stdin.end(stdin)
    const [code] = (await once(child, 'close')) as [number]
    return { code, output, errors }
  }

  test('opens an account with the password from stdin, which logs in as an operator', async () => {
    const made = await make(['Op@Example.com', 'Olu'], 'a long enough password\n')
    expect(made).toEqual({ code: 0, output: 'user: Op@Example.com: opened\n', errors: '' })
    const reply = await world.login('op@example.com', 'a long enough password')
    const { accessToken } = reply.json<Tokens>()
    expect((await world.people.verify(accessToken)).roles).toEqual(['operator'])
    expect((await make(['op@example.com'], '')).output).toMatch('operator already')
  })

  test('takes the password from a file, and has none by default', async () => {
    const file = join(tmpdir(), `wattle-operator-${process.pid}`)
    await writeFile(file, 'another long password', { mode: 0o600 })
    const env = { WATTLE_OPERATOR_PASSWORD_FILE: file }
    expect((await make(['file@example.com'], '', env)).output).toMatch('opened')
    for (const password of ['', 'short', 'x'.repeat(129)]) {
      const { code, errors } = await make(['none@example.com'], password)
      expect(code).toBe(1)
      expect(errors).toMatch(/^make-operator: nobody has this address yet: [^\n]+\n$/)
    }
  })

  test('promotes an account that exists, keeps its password and ends its sessions', async () => {
    const person = await world.loggedIn()
    expect((await make([person.email], '')).output).toMatch('promoted')
    await revoked(person.tokens.accessToken)
    const { accessToken } = (await world.login(person.email, person.password)).json<Tokens>()
    expect((await world.people.verify(accessToken)).roles).toEqual(['operator'])
  })

  test('says in one line what is wrong', async () => {
    for (const parameters of [[], ['not an address']]) {
      const { code, errors } = await make(parameters, 'a long enough password')
      expect([code, errors]).toEqual([1, expect.stringMatching(/^make-operator: [^\n]+\n$/)])
    }
  })
})
