import { createHmac, createPublicKey, sign } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import {
  accessTokens,
  generateSigningKey,
  readSigningKeys,
  type AccessTokens,
  type AccessTokensOptions,
} from '../src/index.ts'

/** Half past a round second of 2026, so that rounding shows. */
export const startMs = Date.UTC(2026, 10, 21, 9, 0, 0) + 500

export const userId = 'usr_01936b0e-7c1a-7000-8000-000000000001'
export const sessionId = 'ses_01936b0e-7c1a-7000-8000-000000000003'
export const familyId = 'fam_01936b0e-7c1a-7000-8000-000000000004'
/** Whom an access token speaks for. */
export const holder = { userId, sessionId, familyId } as const
const tokenId = 'tok_01936b0e-7c1a-7000-8000-000000000002'

/** A key pair of its own for each test. */
export function someKeys() {
  const pem = generateSigningKey()
  const publicPem = createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString()
  return { ...readSigningKeys(pem), publicPem }
}

/** What an app with these options issues and verifies. */
export async function accessTokensOf(options: AccessTokensOptions): Promise<AccessTokens> {
  const app = Fastify()
  await app.register(accessTokens, options)
  return app.accessTokens
}

/** Claims of a good access token at `startMs`; `undefined` in `changes` leaves a claim out. */
export function accessClaims(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const iat = Math.floor(startMs / 1000)
  const good = {
    iss: 'wattle-user',
    aud: 'wattle',
    sub: userId,
    jti: tokenId,
    sid: sessionId,
    fam: familyId,
    roles: [],
  }
  return { ...good, iat, exp: iat + 900, ...changes }
}

export const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token with exactly these parts, signed with Ed25519 whatever its header says. */
export function forge(header: unknown, payload: unknown, privatePem: string): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${sign(undefined, Buffer.from(input), privatePem).toString('base64url')}`
}

/** A token signed by HMAC with `secret`, as in an algorithm-confusion attack. */
export function forgeHmac(
  header: unknown,
  payload: unknown,
  secret: string | Buffer,
  bits = 256,
): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${createHmac(`sha${bits}`, secret).update(input).digest('base64url')}`
}

/** A publisher of keys whose behaviour the test holds in its hand. */
export async function startPublisher(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const publisher = { answer, requests: 0, url: '' }
  const server = createServer((request, response) => {
    publisher.requests++
    publisher.answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  publisher.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/.well-known/jwks.json`
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return Object.assign(publisher, { stop })
}
