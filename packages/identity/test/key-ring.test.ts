import { rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import { eventually } from '@wattle/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import {
  accessTokens,
  generateSigningKey,
  internalTokens,
  internalTokenVerifier,
  localKeys,
  publishJwks,
  readSigningKeys,
  watchedKeys,
  type Jwks,
} from '../src/index.ts'
import { holder, userId } from './forge.ts'

let files = 0

async function world() {
  const [first, second] = [generateSigningKey(), generateSigningKey()]
  const file = join(tmpdir(), `wattle-keys-${process.pid}-${files++}.pem`)
  await writeFile(file, first)
  const warnings: object[] = []
  const log = { info: () => undefined, warn: (fields: object) => void warnings.push(fields) }
  const ring = watchedKeys({ pem: first, file, everyMs: 5, log })
  onTestFinished(async () => {
    ring.close()
    await rm(file, { force: true })
  })
  /** As an operator would: whole or not at all. */
  const replace = async (pem: string) => {
    await writeFile(`${file}.new`, pem)
    await rename(`${file}.new`, file)
  }
  const idOf = (pem: string) => readSigningKeys(pem).keyId
  const signs = (pem: string) => eventually(() => expect(ring.current().keyId).toBe(idOf(pem)))
  return { first, second, file, ring, replace, signs, idOf, warnings }
}

const keyIdOf = (token: string) =>
  (JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { kid: string })
    .kid

describe('T1 signing keys in a file', () => {
  test('rotate without a restart: published first, then signing, then gone; tokens are good all the while', async () => {
    const { first, second, ring, replace, signs, idOf } = await world()
    const app = Fastify()
    await app.register(accessTokens, { signingKeys: ring })
    publishJwks(app, () => ring.current().jwks)
    const published = async () =>
      (await app.inject('/.well-known/jwks.json')).json<Jwks>().keys.map(({ kid }) => kid)
    const before = app.accessTokens.issue({ ...holder, roles: [] }).token

    await replace(`${first}\n${second}`)
    await eventually(async () => expect(await published()).toEqual([idOf(first), idOf(second)]))
    expect(keyIdOf(app.accessTokens.issue({ ...holder, roles: [] }).token)).toBe(idOf(first))

    await replace(`${second}\n${first}`)
    await signs(second)
    const after = app.accessTokens.issue({ ...holder, roles: [] }).token
    expect(keyIdOf(after)).toBe(idOf(second))
    for (const token of [before, after]) {
      expect(await app.accessTokens.verify(token)).toMatchObject({ userId })
    }

    await replace(second)
    await eventually(async () => expect(await published()).toEqual([idOf(second)]))
    expect(await app.accessTokens.verify(after)).toMatchObject({ userId })
    await expect(app.accessTokens.verify(before)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  })

  test('rotate for internal tokens as well', async () => {
    const { second, ring, replace, signs, idOf } = await world()
    const gateway = internalTokens({ keys: ring, reuseMs: 0 })
    const billing = internalTokenVerifier({
      keys: localKeys(() => gateway.jwks),
      service: 'billing',
    })
    const principal = { ...holder, roles: [], tokenId: 'tok_1' } as const
    await billing.verify(gateway.tokenFor(principal, 'billing'))
    await replace(second)
    await signs(second)
    const token = gateway.tokenFor(principal, 'billing')
    expect(keyIdOf(token)).toBe(idOf(second))
    expect(await billing.verify(token)).toMatchObject({ userId })
  })

  test.each([
    ['empty', ''],
    ['no key', 'not a key'],
    ['half a key', generateSigningKey().slice(0, 60)],
  ])('that becomes %s leaves the keys as they are, and is warned of once', async (_name, text) => {
    const { first, second, ring, replace, signs, idOf, warnings } = await world()
    await replace(text)
    await eventually(() => expect(warnings).toHaveLength(1))
    expect(ring.current().keyId).toBe(idOf(first))
    expect(JSON.stringify(warnings)).not.toMatch(/PRIVATE/)
    await replace(second)
    await signs(second)
    expect(warnings).toHaveLength(1)
  })

  test('that is removed leaves the keys as they are', async () => {
    const { first, file, ring, idOf, warnings } = await world()
    await rm(file)
    await eventually(() => expect(warnings.length).toBeGreaterThan(0))
    expect(ring.current().keyId).toBe(idOf(first))
  })
})
