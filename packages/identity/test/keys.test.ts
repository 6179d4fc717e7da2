import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { generateSigningKey, localKeys, readSigningKeys } from '../src/index.ts'

describe('T1 a signing key', () => {
  test('is named by its RFC 7638 thumbprint (the example of RFC 8037)', () => {
    // RFC 8037, appendix A.1 and A.3.
    const d = 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A'
    const seed = Buffer.from(d, 'base64url').toString('hex')
    const der = Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex').toString('base64')
    const pem = `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`
    const { keyId, jwks } = readSigningKeys(pem)
    expect(keyId).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k')
    expect(jwks.keys[0]?.x).toBe('11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo')
  })

  test('is published without its private half', () => {
    const { jwks } = readSigningKeys(generateSigningKey())
    expect(Object.keys(jwks.keys[0] ?? {}).toSorted()).toEqual([
      'alg',
      'crv',
      'kid',
      'kty',
      'use',
      'x',
    ])
  })

  test('may be followed by others, private or public, which are published too', () => {
    const [current, next, old] = [1, 2, 3].map(() => generateSigningKey())
    const oldPublic = createPublicKey(old ?? '').export({ type: 'spki', format: 'pem' })
    const keys = readSigningKeys(`${current}\n${next}${oldPublic.toString()}${current}`)
    expect(keys.jwks.keys).toHaveLength(3)
    expect(keys.keyId).toBe(readSigningKeys(current ?? '').keyId)
    expect(keys.jwks.keys[0]?.kid).toBe(keys.keyId)
  })

  test('can stand in one line with \\n for line breaks, as environment files have it', () => {
    const pem = generateSigningKey()
    expect(readSigningKeys(pem.replaceAll('\n', '\\n'))).toEqual(readSigningKeys(pem))
  })

  test('of any other form is refused with one sentence that holds no key material', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const form = { type: 'pkcs8', format: 'pem' } as const
    const good = generateSigningKey()
    const cases = {
      '': /holds no PEM key/,
      secret: /holds no PEM key/,
      [createPublicKey(good).export({ type: 'spki', format: 'pem' }).toString()]:
        /begins with a "PUBLIC KEY" block/,
      [rsa.privateKey.export(form).toString()]: /of type rsa, not ed25519/,
      [ec.privateKey.export(form).toString()]: /of type ec, not ed25519/,
      [rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()]:
        /begins with a "RSA PRIVATE KEY" block/,
      [good.replace(/\n.{20}/, '\n')]: /damaged/,
      [`${good}${rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString()}`]: /type rsa/,
    }
    for (const [pem, message] of Object.entries(cases)) {
      let text = ''
      try {
        readSigningKeys(pem)
      } catch (error) {
        text = (error as Error).message
      }
      expect(text).toMatch(message)
      expect(text).not.toMatch(/MC4CAQ|\n/)
    }
  })
})

const publicKeys = (keys: unknown[]) => localKeys({ keys: keys as never[] })

describe('T1 a key set', () => {
  const [good] = readSigningKeys(generateSigningKey()).jwks.keys
  if (good === undefined) throw new Error('no key')

  test('leaves out keys that are not Ed25519, not for signatures, or not named by their thumbprint', () => {
    const bad = [
      { ...good, kid: 'other' },
      { ...good, kid: '__proto__' },
      { ...good, use: 'enc' },
      { ...good, alg: 'HS256' },
      { ...good, kty: 'oct', k: 'AAAA' },
      { ...good, crv: 'Ed448' },
      { ...good, x: 'AAAA' },
      null,
      'key',
      [],
    ]
    expect(publicKeys([...bad, good]).peek(good.kid)).toBeDefined()
    for (const key of bad) expect(() => publicKeys([key])).toThrow(/no usable/)
  })

  test('that is no key set is refused', () => {
    for (const document of [null, [], 'x', {}, { keys: {} }, { keys: null }]) {
      expect(() => localKeys(document as never)).toThrow(/not a JWKS/)
    }
  })
})
