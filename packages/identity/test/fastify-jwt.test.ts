import Fastify, { type FastifyInstance } from 'fastify'
import { describe, expect, onTestFinished, test } from 'vitest'
import { accessTokens, localKeys } from '../src/index.ts'
import {
  accessClaims,
  encode,
  forge,
  forgeHmac,
  someKeys,
  startMs,
  userId,
  holder,
} from './forge.ts'

const now = () => startMs

async function world() {
  const keys = someKeys()
  const app: FastifyInstance = Fastify()
  await app.register(accessTokens, { keys: localKeys(keys.jwks), now })
  onTestFinished(() => app.close())
  const header = { alg: 'EdDSA', typ: 'at+jwt', kid: keys.keyId }
  const forged = (changes: object = {}, headerChanges: object = {}) =>
    forge({ ...header, ...headerChanges }, { ...accessClaims(), ...changes }, keys.privatePem)
  const verify = (token: string) => Promise.resolve(app.jwt.verify<Promise<object>>(token))
  return { app, keys, header, forged, verify }
}

describe('T1 @fastify/jwt, as the plugin registers it,', () => {
  test('verifies a good token, and by itself refuses what it is not told to take', async () => {
    const { app, keys, header, forged, verify } = await world()
    expect(await verify(forged())).toMatchObject({ sub: userId })
    expect(app.jwt.options.verify).toMatchObject({ algorithms: ['EdDSA'] })
    const bad = {
      'a secret': forgeHmac({ ...header, alg: 'HS256' }, accessClaims(), keys.publicPem),
      'no signature': `${encode({ ...header, alg: 'none' })}.${encode(accessClaims())}.`,
      'a foreign key': forge(header, accessClaims(), someKeys().privatePem),
      'another type': forged({}, { typ: 'wattle-internal+jwt' }),
      'another issuer': forged({ iss: 'wattle-gateway' }),
      'another audience': forged({ aud: 'billing' }),
      'an embedded key': forged({}, { jwk: keys.jwks.keys[0] }),
      ...Object.fromEntries(
        ['exp', 'iat', 'sub', 'jti', 'iss', 'aud'].map((claim) => [
          `no ${claim}`,
          forged({ [claim]: undefined }),
        ]),
      ),
    }
    for (const [name, token] of Object.entries(bad)) {
      await expect(verify(token), name).rejects.toThrow()
    }
  })

  test('signs nothing where only keys to verify with were given', async () => {
    const { app } = await world()
    expect(() => app.jwt.sign({ sub: userId })).toThrow(/verify mode/)
    expect(() => app.accessTokens.issue({ ...holder, roles: [] })).toThrow(/only verified/)
  })

  test('signs what app.accessTokens issues, and by itself writes the same header', async () => {
    const keys = someKeys()
    const app = Fastify()
    await app.register(accessTokens, { signingKeys: keys, now })
    const tokens = [
      app.jwt.sign(accessClaims()),
      app.accessTokens.issue({ ...holder, roles: [] }).token,
    ]
    for (const token of tokens) {
      const header: unknown = JSON.parse(
        Buffer.from(token.split('.')[0] ?? '', 'base64url').toString(),
      )
      expect(header).toEqual({ alg: 'EdDSA', typ: 'at+jwt', kid: keys.keyId })
      expect(await app.accessTokens.verify(token)).toMatchObject({ userId })
    }
  })

  test('lets nobody in by request.jwtVerify, which knows nothing of claims, time and memory', async () => {
    const { app, forged } = await world()
    app.get('/', (request) => request.jwtVerify())
    const headers = { authorization: `Bearer ${forged()}` }
    expect((await app.inject({ url: '/', headers })).statusCode).toBeGreaterThanOrEqual(400)
  })
})
