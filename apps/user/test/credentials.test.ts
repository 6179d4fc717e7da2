import type { SecurityEventPage, Tokens } from '@wattle/contracts'
import { eventually } from '@wattle/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startUser, type UserWorld } from './world.ts'

let world: UserWorld
beforeAll(async () => {
  world = await startUser()
})
beforeEach(() => {
  world.clock.aheadMs = 0
})
afterAll(() => world.stop())

const post = (url: string, payload: object) => world.app.inject({ method: 'POST', url, payload })
const another = 'another good password'

/** The code in the newest mail to this address with this subject. */
const codeIn = (email: string, subject: RegExp, butNot = '') =>
  eventually(() => {
    const mail = world.inbox.mails.find((one) => one.to === email && subject.test(one.subject))
    const code = /^[A-Za-z0-9_-]{43}$/m.exec(mail?.text ?? '')?.[0]
    if (code === undefined || code === butNot) throw new Error(`no mail to ${email}`)
    return code
  })

async function resetCode(email: string, butNot = '') {
  expect((await post('/auth/password/forgot', { email })).statusCode).toBe(204)
  return codeIn(email, /Another password/, butNot)
}

describe('T7 a new password by mail', () => {
  test('is set once by the code, ends every session, revokes what was issued, and lets in at once', async () => {
    const person = await world.loggedIn()
    const code = await resetCode(person.email)
    const reply = await post('/auth/password/reset', { code, password: another })
    expect([reply.statusCode, reply.body]).toEqual([204, ''])
    await eventually(async () =>
      expect(await world.verdict(person.tokens.accessToken)).toBe('revoked'),
    )
    expect((await world.refresh(person.tokens.refreshToken)).statusCode).toBe(401)
    expect((await world.login(person.email, person.password)).statusCode).toBe(401)
    const login = await world.login(person.email, another)
    expect(login.statusCode).toBe(200)
    // In the same second as the revocation of everything before it.
    expect(await world.verdict(login.json<Tokens>().accessToken)).toBe('valid')
    expect((await post('/auth/password/reset', { code, password: another })).json()).toMatchObject({
      code: 'ONE_TIME_TOKEN_INVALID',
    })
    expect(await world.eventsOf(person.profile.id)).toEqual(
      expect.arrayContaining(['password.reset_requested', 'password.reset']),
    )
    await eventually(() =>
      expect(
        world.inbox.mails.some(({ to, subject }) => to === person.email && /changed/.test(subject)),
      ).toBe(true),
    )
  })

  test('of twenty who use one code at once, one sets it', async () => {
    const { email } = await world.register()
    const code = await resetCode(email)
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        post('/auth/password/reset', { code, password: `${another} ${n}` }),
      ),
    )
    const statuses = replies.map(({ statusCode }) => statusCode)
    expect(statuses.filter((status) => status === 204)).toHaveLength(1)
    const winner = statuses.indexOf(204)
    expect((await world.login(email, `${another} ${winner}`)).statusCode).toBe(200)
  })

  test('needs a code that is not older than 30 minutes, and the newest one', async () => {
    const { email, password } = await world.register()
    const first = await resetCode(email)
    const second = await resetCode(email, first)
    expect(
      (await post('/auth/password/reset', { code: first, password: another })).statusCode,
    ).toBe(400)
    world.clock.aheadMs = 30 * 60_000 + 1_000
    expect(
      (await post('/auth/password/reset', { code: second, password: another })).statusCode,
    ).toBe(400)
    expect((await world.login(email, password)).statusCode).toBe(200)
  })

  test('by a code of another purpose or of nobody is refused without a hash', async () => {
    const { email } = await world.register()
    const verification = await codeIn(email, /Your e-mail/)
    const { passwords } = world.deps
    const hash = passwords.hash.bind(passwords)
    let hashes = 0
    passwords.hash = (...given) => {
      hashes++
      return hash(...given)
    }
    try {
      for (const code of [
        verification,
        'A'.repeat(43),
        Buffer.alloc(32, 9).toString('base64url'),
      ]) {
        expect((await post('/auth/password/reset', { code, password: another })).statusCode).toBe(
          400,
        )
      }
    } finally {
      passwords.hash = hash
    }
    expect(hashes).toBe(0)
  })

  test('is mailed three times an hour at most, whatever is asked, and never to a disabled account', async () => {
    const { email, profile } = await world.register()
    await Promise.all(Array.from({ length: 12 }, () => post('/auth/password/forgot', { email })))
    await eventually(async () => {
      const sql = `select count(*)::int as made from one_time_codes where user_id = $1 and purpose = 'reset_password'`
      expect(await world.postgres.query(sql, [profile.id])).toEqual([{ made: 3 }])
    })
    const other = await world.register()
    await world.postgres.query(`update users set status = 'disabled' where id = $1`, [
      other.profile.id,
    ])
    await post('/auth/password/forgot', { email: other.email })
    await resetCode((await world.register()).email)
    const disabled = world.inbox.mails.filter(
      ({ to, subject }) => to === other.email && /Another/.test(subject),
    )
    expect(disabled).toEqual([])
  })

  test('ends the lock of the account, wherever it was locked', async () => {
    const { email } = await world.register()
    for (let n = 0; n < 11; n++) await world.login(email, 'wrong password')
    expect((await world.login(email, 'wrong password')).statusCode).toBe(429)
    const code = await resetCode(email)
    await post('/auth/password/reset', { code, password: another })
    expect((await world.login(email, another)).statusCode).toBe(200)
  })

  test('wins against a login with the old one that was under way', async () => {
    const { email, password } = await world.register()
    const code = await resetCode(email)
    const gate = Promise.withResolvers<void>()
    const { passwords } = world.deps
    const verify = passwords.verify.bind(passwords)
    const reached = Promise.withResolvers<void>()
    passwords.verify = async (...given) => {
      const answer = await verify(...given)
      reached.resolve()
      await gate.promise
      return answer
    }
    const login = world.login(email, password)
    await reached.promise
    passwords.verify = verify
    expect((await post('/auth/password/reset', { code, password: another })).statusCode).toBe(204)
    gate.resolve()
    expect((await login).statusCode).toBe(401)
  })
})

describe('T7 a new password by the present one', () => {
  const change = (
    person: { with: Awaited<ReturnType<UserWorld['callWith']>> },
    currentPassword: string,
  ) => person.with('POST', '/me/password', { currentPassword, newPassword: another })

  test('ends all other sessions, and keeps the one that asks', async () => {
    const person = await world.loggedIn()
    const other = (await world.login(person.email, person.password)).json<Tokens>()
    expect((await change(person, person.password)).statusCode).toBe(204)
    await eventually(async () => expect(await world.verdict(other.accessToken)).toBe('revoked'))
    expect((await world.refresh(other.refreshToken)).statusCode).toBe(401)
    expect(await world.verdict(person.tokens.accessToken)).toBe('valid')
    expect((await world.refresh(person.tokens.refreshToken)).statusCode).toBe(200)
    expect((await world.login(person.email, person.password)).statusCode).toBe(401)
    expect((await world.login(person.email, another)).statusCode).toBe(200)
    expect(await world.eventsOf(person.profile.id)).toContain('password.changed')
  })

  test('is bounded like a login: a stolen token gives no more guesses than none', async () => {
    const person = await world.loggedIn()
    const statuses: number[] = []
    for (let n = 0; n < 12; n++) statuses.push((await change(person, `wrong ${n}`)).statusCode)
    expect(statuses).toEqual([...Array<number>(10).fill(401), 429, 429])
  })

  test('is refused to a session that has ended, by the database, whatever a gateway believes', async () => {
    const person = await world.loggedIn()
    await world.postgres.query(
      `update sessions set ended_at = now(), end_reason = 'logout' where id = $1`,
      [person.tokens.sessionId],
    )
    expect((await change(person, person.password)).statusCode).toBe(401)
    expect((await world.login(person.email, person.password)).statusCode).toBe(200)
  })

  test('of two at once, one is set', async () => {
    const person = await world.loggedIn()
    const replies = await Promise.all([
      change(person, person.password),
      person.with('POST', '/me/password', {
        currentPassword: person.password,
        newPassword: 'a third good password',
      }),
    ])
    const statuses = replies.map(({ statusCode }) => statusCode).toSorted()
    expect(statuses).toEqual([204, 401])
  })
})

describe('T7 an e-mail address', () => {
  test('is proved once by the code that was mailed when the account was opened', async () => {
    const { email, profile } = await world.register()
    const code = await codeIn(email, /Your e-mail/)
    expect((await post('/auth/email/verify', { code })).statusCode).toBe(204)
    const [row] = await world.postgres.query('select email_verified_at from users where id = $1', [
      profile.id,
    ])
    expect(row?.['email_verified_at']).toBeInstanceOf(Date)
    expect((await post('/auth/email/verify', { code })).statusCode).toBe(400)
    expect(await world.eventsOf(profile.id)).toContain('email.verified')
  })

  test('gets another code on request, three an hour; the earlier one ends', async () => {
    const person = await world.loggedIn()
    const first = await codeIn(person.email, /Your e-mail/)
    expect((await person.with('POST', '/me/email/verification')).statusCode).toBe(204)
    const second = await codeIn(person.email, /Your e-mail/, first)
    expect((await post('/auth/email/verify', { code: first })).statusCode).toBe(400)
    expect((await person.with('POST', '/me/email/verification')).statusCode).toBe(204)
    expect((await person.with('POST', '/me/email/verification')).statusCode).toBe(429)
    expect((await post('/auth/email/verify', { code: second })).statusCode).toBe(400)
    const third = await codeIn(person.email, /Your e-mail/, second)
    expect((await post('/auth/email/verify', { code: third })).statusCode).toBe(204)
  })

  test('codes stand in the database as hashes only, and in no log', async () => {
    const { email } = await world.register()
    const code = await resetCode(email)
    const rows = JSON.stringify(await world.postgres.query('select * from one_time_codes'))
    expect(rows).not.toContain(code)
    expect(world.logLines.join('')).not.toContain(code)
  })
})

describe('T5 the security log', () => {
  test('is read by its owner, newest first, page by page, and by nobody else', async () => {
    const person = await world.loggedIn({ from: '203.0.113.9' })
    for (let n = 0; n < 5; n++) await world.login(person.email, 'wrong password')
    await eventually(async () => {
      expect(
        (await world.eventsOf(person.profile.id)).filter((type) => type === 'login.failed'),
      ).toHaveLength(5)
    })
    const types: string[] = []
    let cursor: string | null = null
    do {
      const query: string = cursor === null ? '' : `&cursor=${cursor}`
      const reply = await person.with('GET', `/me/security-events?limit=2${query}`)
      expect(reply.statusCode).toBe(200)
      const page: SecurityEventPage = reply.json()
      expect(page.items.length).toBeLessThanOrEqual(2)
      types.push(...page.items.map(({ type }) => type))
      cursor = page.nextCursor
    } while (cursor !== null)
    expect(types.toReversed()).toEqual(await world.eventsOf(person.profile.id))
    const [login] = (await person.with('GET', '/me/security-events?limit=100'))
      .json<SecurityEventPage>()
      .items.filter(({ type }) => type === 'login.succeeded')
    expect(login).toMatchObject({
      severity: 'info',
      sessionId: person.tokens.sessionId,
      device: 'Firefox on Linux',
      address: '203.0.113.9',
    })
    const other = await world.loggedIn()
    const theirs = (await other.with('GET', '/me/security-events')).json<SecurityEventPage>()
    expect(theirs.items.every(({ sessionId }) => sessionId !== person.tokens.sessionId)).toBe(true)
    const page = (await person.with('GET', '/me/security-events?limit=1')).json<SecurityEventPage>()
    const stolen = await other.with('GET', `/me/security-events?cursor=${page.nextCursor}`)
    expect(stolen.statusCode).toBe(400)
  })
})

describe('the inbox of this machine', () => {
  test('shows what was mailed, with nothing that a browser would run', async () => {
    await world.inbox.send({
      to: 'x@example.com',
      subject: '<script>alert(1)</script>',
      text: '"&<b>',
    })
    const reply = await world.app.inject('/inbox')
    expect(reply.statusCode).toBe(200)
    expect(reply.headers['content-security-policy']).toMatch("default-src 'none'")
    expect(reply.body).not.toMatch(/<script|<b>/)
    expect(reply.body).toMatch('&#60;script&#62;')
  })
})
