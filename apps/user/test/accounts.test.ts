import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPasswords } from '../src/passwords.ts'
import { startUser, type UserWorld } from './world.ts'

let world: UserWorld
beforeAll(async () => {
  world = await startUser()
})
afterAll(() => world.stop())

const account = {
  email: 'someone@example.com',
  password: 'correct horse battery',
  name: 'Ada Obi',
}
const post = (url: string, payload: object) => world.app.inject({ method: 'POST', url, payload })

describe('S1 opening an account', () => {
  test('answers 201 with the profile, and nothing of the password', async () => {
    const reply = await post('/auth/register', { ...account, phone: '+2348012345678' })
    expect(reply.statusCode).toBe(201)
    expect(reply.json()).toEqual({
      id: expect.stringMatching(/^usr_/) as string,
      email: account.email,
      name: 'Ada Obi',
      phone: '+2348012345678',
      version: 1,
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      updatedAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
    })
    expect(reply.body).not.toMatch(/password|argon/i)
  })

  test('is refused for an address that has one, however it is written', async () => {
    await world.register({ email: 'twice@example.com' })
    for (const email of ['twice@example.com', 'Twice@Example.COM', 'TWICE@EXAMPLE.COM']) {
      const reply = await post('/auth/register', { ...account, email })
      expect(reply.statusCode).toBe(409)
      expect(reply.json()).toMatchObject({ code: 'EMAIL_TAKEN' })
    }
  })

  test('twenty at once for one address open exactly one', async () => {
    const bodies = Array.from({ length: 20 }, (_, n) => ({
      ...account,
      email: n % 2 === 0 ? 'race@example.com' : 'Race@Example.com',
      name: `Racer ${n}`,
    }))
    const replies = await Promise.all(bodies.map((body) => post('/auth/register', body)))
    const opened = replies.filter(({ statusCode }) => statusCode === 201)
    const refused = replies.filter(({ statusCode }) => statusCode === 409)
    expect([opened.length, refused.length]).toEqual([1, 19])
    const rows = await world.postgres.query(
      `select u.name, p.language from users u join preferences p on p.user_id = u.id
       where u.email = 'race@example.com'`,
    )
    expect(rows).toHaveLength(1)
  })

  test.each([
    ['email', { email: 'no address' }],
    ['email', { email: '"a b"@example.com' }],
    ['email', { email: `${'x'.repeat(250)}@example.com` }],
    ['email', { email: null }],
    ['password', { password: 'short' }],
    ['password', { password: 'x'.repeat(129) }],
    ['name', { name: '' }],
    ['name', { name: '   ' }],
    ['name', { name: 'line\nbreak' }],
    ['name', { name: 'x'.repeat(101) }],
    ['phone', { phone: '08012345678' }],
    ['roles', { roles: ['operator'] }],
    ['status', { status: 'active' }],
  ])('with a bad %s is refused and names the field', async (field, change) => {
    const reply = await post('/auth/register', { ...account, email: 'bad@example.com', ...change })
    expect(reply.statusCode).toBe(400)
    expect(reply.headers['content-type']).toMatch('application/problem+json')
    expect(reply.json()).toMatchObject({
      code: 'VALIDATION_FAILED',
      errors: [{ in: 'body', field }],
    })
  })

  test.each([
    "Robert'); DROP TABLE users;--",
    '\\"; select pg_sleep(10); --',
    '${7*7} {{7*7}} <script>alert(1)</script>',
    'Set-Cookie: a=b',
    'Ọláwálé Ẹ̀gbẹ́ 👩🏽‍💻',
    '%00 %0d%0a',
    '$1 :name ?',
  ])('keeps the name %j as it is', async (name) => {
    const { call } = await world.register({ name })
    expect((await call('GET', '/me')).json()).toMatchObject({ name })
  })

  test('keeps a quote in an address as it is, and finds it again', async () => {
    const email = "o'hara+'--@example.com"
    await world.register({ email })
    expect((await world.login(email, account.password)).statusCode).toBe(200)
  })
})

describe('T1 logging in', () => {
  test('gives an access token of 15 minutes that the gateway can verify', async () => {
    const { email, password, profile } = await world.register()
    const reply = await world.login(email.toUpperCase(), password)
    expect(reply.statusCode).toBe(200)
    expect(reply.headers['cache-control']).toBe('no-store')
    const { accessToken, ...rest } = reply.json<{ accessToken: string }>()
    expect(rest).toMatchObject({ tokenType: 'Bearer', expiresIn: 900, freshLoginSoon: false })
    expect(await world.people.verify(accessToken)).toMatchObject({
      userId: profile.id,
      roles: [],
    })
  })

  test('puts the roles of the account into the token', async () => {
    const { email, password, profile } = await world.register()
    await world.postgres.query(`update users set roles = '{operator}' where id = $1`, [profile.id])
    const { accessToken } = (await world.login(email, password)).json<{ accessToken: string }>()
    expect((await world.people.verify(accessToken)).roles).toEqual(['operator'])
  })

  test('is refused in the same words for a wrong password, an unknown address and a disabled account', async () => {
    const { email, password, profile } = await world.register()
    const wrong = await world.login(email, `${password}!`)
    const unknown = await world.login('nobody@example.com', password)
    await world.postgres.query(`update users set status = 'disabled' where id = $1`, [profile.id])
    const disabled = await world.login(email, password)
    const [first, ...others] = [wrong, unknown, disabled].map((reply) => {
      expect(reply.statusCode).toBe(401)
      const { requestId: _, ...document } = reply.json<Record<string, unknown>>()
      return document
    })
    expect(first).toMatchObject({ code: 'INVALID_CREDENTIALS' })
    for (const other of others) expect(other).toEqual(first)
  })

  test('replaces a hash of an outdated cost, and only then', async () => {
    const { email, password, profile } = await world.register()
    const stored = async () => {
      const sql = 'select password_hash from users where id = $1'
      const [row] = await world.postgres.query(sql, [profile.id])
      return String(row?.['password_hash'])
    }
    const present = await stored()
    await world.login(email, password)
    expect(await stored()).toBe(present)

    const older = createPasswords({ cost: { memoryKib: 32, passes: 1, lanes: 1 } })
    const outdated = await older.hash(password)
    const sql = 'update users set password_hash = $2 where id = $1'
    await world.postgres.query(sql, [profile.id, outdated])
    expect((await world.login(email, 'wrong password')).statusCode).toBe(401)
    expect(await stored()).toBe(outdated)
    expect((await world.login(email, password)).statusCode).toBe(200)
    expect(await stored()).toMatch(/\$m=64,t=1,p=1\$/)
    expect((await world.login(email, password)).statusCode).toBe(200)
  })

  test('publishes the key that checks its tokens', async () => {
    const reply = await world.app.inject('/.well-known/jwks.json')
    expect(reply.json()).toEqual(world.deps.signingKeys.jwks)
  })
})

describe('T7 equal time', () => {
  test('an unknown address costs one hash, as a known one does', async () => {
    const { email } = await world.register()
    const hashed: (string | undefined)[] = []
    const { passwords } = world.deps
    const verify = passwords.verify.bind(passwords)
    passwords.verify = (password, phc, signal) => {
      hashed.push(phc)
      return verify(password, phc, signal)
    }
    try {
      await world.login(email, 'wrong password')
      await world.login('nobody@example.com', 'wrong password')
    } finally {
      passwords.verify = verify
    }
    expect(hashed).toEqual([expect.stringContaining('$argon2id$'), undefined])
  })
})

describe('C1 personal data', () => {
  test('addresses, names and passwords stand neither in Redis nor in logs', async () => {
    const email = 'very.private@example.com'
    const password = 'a-very-private-password'
    const { call } = await world.register({ email, password, name: 'Private Person' })
    await world.login(email, password)
    await world.login(email, `${password}-wrong`)
    await world.app.inject({ method: 'POST', url: '/auth/register', payload: { email, password } })
    await call('GET', '/me')
    await call('GET', '/me/preferences')
    const redisKeys = (await world.redisServer.client().keys('*')).join('\n')
    expect(redisKeys).toMatch('test:user:profile')
    const lines = world.logLines.join('')
    expect(lines).toMatch('"route":"/auth/login"')
    for (const secret of [email, 'very.private', password, 'Private Person', 'eyJ', '$argon2']) {
      expect(redisKeys).not.toContain(secret)
      expect(lines).not.toContain(secret)
    }
  })
})
