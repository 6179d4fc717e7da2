import type { Tokens } from '@wattle/contracts'
import { hashOpaqueToken, keysFor, refreshTokens } from '@wattle/identity'
import { eventually, randomFrom } from '@wattle/testkit'
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

const dayMs = 24 * 60 * 60_000
const refreshed = async (token: string) => {
  const reply = await world.refresh(token)
  expect([reply.statusCode, reply.statusCode === 200 ? '' : reply.body]).toEqual([200, ''])
  return reply.json<Tokens>()
}

async function expectRefused(token: string, code = 'REFRESH_TOKEN_INVALID') {
  const reply = await world.refresh(token)
  expect(reply.statusCode).toBe(401)
  expect(reply.json()).toMatchObject({ code })
}

/** The line of the family: generations in order, and how many of them are not spent. */
async function lineOf(sessionId: string) {
  const rows = await world.postgres.query(
    'select generation, spent_at from refresh_tokens where session_id = $1 order by generation',
    [sessionId],
  )
  return {
    generations: rows.map(({ generation }) => generation),
    good: rows.filter((row) => row['spent_at'] === null).length,
  }
}

const endOf = async (sessionId: string) => {
  const sql = 'select end_reason from sessions where id = $1'
  return (await world.postgres.query(sql, [sessionId]))[0]?.['end_reason']
}

describe('T2 a refresh token', () => {
  test('is opaque, has 256 bits, and stands nowhere but with its owner: the database has its hash', async () => {
    const { tokens } = await world.loggedIn()
    const next = await refreshed(tokens.refreshToken)
    for (const token of [tokens.refreshToken, next.refreshToken]) {
      expect(Buffer.from(token, 'base64url')).toHaveLength(32)
      const text = JSON.stringify(await world.postgres.query('select * from refresh_tokens'))
      expect(text).not.toContain(token)
      expect(text).not.toContain(Buffer.from(token, 'base64url').toString('hex'))
      expect(world.logLines.join('')).not.toContain(token)
    }
    const keys = (await world.stateServer.client().keys('*')).join()
    expect(keys).not.toContain(next.refreshToken)
  })

  test('gives new tokens of the same session, and is spent by that', async () => {
    const { tokens, profile } = await world.loggedIn()
    const next = await refreshed(tokens.refreshToken)
    expect(next.sessionId).toBe(tokens.sessionId)
    expect(next.refreshToken).not.toBe(tokens.refreshToken)
    const [before, after] = await Promise.all([
      world.people.verify(tokens.accessToken),
      world.people.verify(next.accessToken),
    ])
    expect(after).toMatchObject({ userId: profile.id, sessionId: before.sessionId })
    expect(after.familyId).toBe(before.familyId)
    expect(after.tokenId).not.toBe(before.tokenId)
    expect(await lineOf(next.sessionId)).toEqual({ generations: [1, 2], good: 1 })
  })

  test('sent twice within the grace gives the same successor again: a reply that was lost costs nothing', async () => {
    const { tokens } = await world.loggedIn()
    const first = await refreshed(tokens.refreshToken)
    world.clock.aheadMs = 9_000
    const again = await refreshed(tokens.refreshToken)
    expect(again.refreshToken).toBe(first.refreshToken)
    expect((await refreshed(again.refreshToken)).sessionId).toBe(tokens.sessionId)
  })

  test('of 200 sent at once leaves exactly one line, and everybody has the same successor', async () => {
    const { tokens } = await world.loggedIn()
    const replies = await Promise.all(
      Array.from({ length: 200 }, () => world.refresh(tokens.refreshToken)),
    )
    const successors = new Set(
      replies.map((reply) => {
        expect([reply.statusCode, reply.body.slice(0, 200)]).toEqual([200, expect.anything()])
        return reply.json<Tokens>().refreshToken
      }),
    )
    expect(successors.size).toBe(1)
    expect(await lineOf(tokens.sessionId)).toEqual({ generations: [1, 2], good: 1 })
    const [successor = ''] = successors
    await refreshed(successor)
    expect(await lineOf(tokens.sessionId)).toEqual({ generations: [1, 2, 3], good: 1 })
  }, 30_000)

  test('that is spent, after the grace, ends the family: thief and owner alike have to log in', async () => {
    const { tokens, profile } = await world.loggedIn()
    const next = await refreshed(tokens.refreshToken)
    world.clock.aheadMs = 10_500
    await expectRefused(tokens.refreshToken)
    await expectRefused(next.refreshToken)
    expect(await endOf(tokens.sessionId)).toBe('refresh token reused')
    expect(await world.eventsOf(profile.id)).toContain('token.reuse_detected')
    await eventually(async () => expect(await world.verdict(next.accessToken)).toBe('revoked'))
    await eventually(async () => expect(await world.verdict(tokens.accessToken)).toBe('revoked'))
  })

  test('whose successor was used ends the family also within the grace', async () => {
    const { tokens } = await world.loggedIn()
    const next = await refreshed(tokens.refreshToken)
    const third = await refreshed(next.refreshToken)
    await expectRefused(tokens.refreshToken)
    await expectRefused(third.refreshToken)
    expect(await endOf(tokens.sessionId)).toBe('refresh token reused')
  })

  test('of any generation but the parent ends the family, at any time', async () => {
    const { tokens } = await world.loggedIn()
    const line = [tokens.refreshToken]
    for (let n = 0; n < 5; n++) line.push((await refreshed(line.at(-1) ?? '')).refreshToken)
    await expectRefused(line[2] ?? '')
    expect(await endOf(tokens.sessionId)).toBe('refresh token reused')
  })

  test('ends its own family, and no other session of the person', async () => {
    const person = await world.loggedIn()
    const other = (await world.login(person.email, person.password)).json<Tokens>()
    await refreshed(person.tokens.refreshToken)
    world.clock.aheadMs = 20_000
    await expectRefused(person.tokens.refreshToken)
    expect((await refreshed(other.refreshToken)).sessionId).toBe(other.sessionId)
  })

  test.each([
    ['unknown', Buffer.alloc(32, 7).toString('base64url')],
    ['almost one of ours', 'A'.repeat(43)],
  ])('that is %s is refused, and ends nothing', async (_name, token) => {
    const { tokens } = await world.loggedIn()
    await expectRefused(token)
    await refreshed(tokens.refreshToken)
  })

  test.each([
    '',
    'x',
    'x'.repeat(42),
    'x'.repeat(44),
    'x'.repeat(10_000),
    "' or 1=1 --",
    null,
    7,
    ['x'],
  ])('of the form %j is a fault of the input', async (refreshToken) => {
    const reply = await world.app.inject({
      method: 'POST',
      url: '/auth/refresh',
      payload: { refreshToken },
    })
    expect(reply.statusCode).toBe(400)
  })

  test('spelt otherwise, with the same bytes, is another token', async () => {
    const { tokens } = await world.loggedIn()
    const last = tokens.refreshToken.at(-1) ?? ''
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const twin = alphabet[alphabet.indexOf(last) ^ 1] ?? ''
    await expectRefused(tokens.refreshToken.slice(0, -1) + twin)
    await refreshed(tokens.refreshToken)
  })

  test('cannot be derived from what is in the database without the key', async () => {
    const { tokens } = await world.loggedIn()
    const thief = refreshTokens({ keys: keysFor('refresh token', [Buffer.alloc(32)]) })
    const hash = hashOpaqueToken(tokens.refreshToken)
    const principal = await world.people.verify(tokens.accessToken)
    const next = await refreshed(tokens.refreshToken)
    expect(thief.successor(hash ?? Buffer.alloc(32), principal.familyId)).not.toBe(
      next.refreshToken,
    )
  })
})

describe('T2 the end of a family', () => {
  test('never moves, however often it is refreshed, and the reply says when it is near', async () => {
    const { tokens } = await world.loggedIn()
    expect(tokens.freshLoginSoon).toBe(false)
    let token = tokens.refreshToken
    for (const day of [10, 20, 22.5, 24, 29.9]) {
      world.clock.aheadMs = day * dayMs
      const next = await refreshed(token)
      expect(next.freshLoginAt).toBe(tokens.freshLoginAt)
      expect([day, next.freshLoginSoon]).toEqual([day, day > 23])
      token = next.refreshToken
    }
    world.clock.aheadMs = 30 * dayMs + 1_000
    await expectRefused(token, 'FRESH_LOGIN_REQUIRED')
  })

  test('comes sooner without use', async () => {
    const { tokens } = await world.loggedIn()
    world.clock.aheadMs = 14 * dayMs + 1_000
    await expectRefused(tokens.refreshToken, 'FRESH_LOGIN_REQUIRED')
  })
})

describe('T4 the status of the account', () => {
  test('is looked at by every refresh', async () => {
    const { tokens, profile } = await world.loggedIn()
    await world.postgres.query(`update users set status = 'disabled' where id = $1`, [profile.id])
    await expectRefused(tokens.refreshToken)
    await world.postgres.query(`update users set status = 'active' where id = $1`, [profile.id])
    await expectRefused(tokens.refreshToken)
    expect(await endOf(tokens.sessionId)).toBe('account disabled')
  })

  test('and the roles, of which the next access token tells', async () => {
    const { tokens, profile } = await world.loggedIn()
    await world.postgres.query(`update users set roles = '{operator}' where id = $1`, [profile.id])
    const next = await refreshed(tokens.refreshToken)
    expect((await world.people.verify(next.accessToken)).roles).toEqual(['operator'])
  })
})

describe('T2 whatever is sent in whatever order', () => {
  test('there is at most one good token, and a family that was ended stays so', async () => {
    const seed = Number(process.env['WATTLE_TEST_SEED'] ?? Date.now())
    console.log(`seed ${seed}; again with WATTLE_TEST_SEED=${seed}`)
    const random = randomFrom(seed)
    for (let run = 0; run < 6; run++) {
      const { tokens } = await world.loggedIn()
      const seen = [tokens.refreshToken]
      let isEnded = false
      for (let step = 0; step < 12; step++) {
        world.clock.aheadMs += random.chance(0.3) ? 11_000 : 100
        const sent = Array.from({ length: random.chance(0.3) ? 5 : 1 }, () =>
          random.chance(0.8) ? seen.at(-1) : seen[Math.floor(random.next() * seen.length)],
        )
        const replies = await Promise.all(sent.map((token) => world.refresh(token ?? '')))
        for (const reply of replies) {
          if (isEnded) expect([seed, reply.statusCode]).toEqual([seed, 401])
          if (reply.statusCode !== 200) continue
          const { refreshToken } = reply.json<Tokens>()
          if (!seen.includes(refreshToken)) seen.push(refreshToken)
        }
        const line = await lineOf(tokens.sessionId)
        expect([seed, line.good]).toEqual([seed, 1])
        expect(line.generations).toEqual(line.generations.map((_, index) => index + 1))
        isEnded ||= (await endOf(tokens.sessionId)) !== null
      }
    }
  }, 30_000)
})
