import { describe, expect, test } from 'vitest'
import {
  hashOpaqueToken,
  keysFor,
  newOpaqueToken,
  readSecrets,
  refreshTokens,
} from '../src/index.ts'
import { familyId } from './forge.ts'

const secret = (fill: number) => Buffer.alloc(32, fill)
const hashOf = (token: string) => {
  const hash = hashOpaqueToken(token)
  if (hash === undefined) throw new Error('no token')
  return hash
}

describe('T2 an opaque token', () => {
  test('has 256 bits and one spelling', () => {
    const token = newOpaqueToken()
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(Buffer.from(token, 'base64url')).toHaveLength(32)
    expect(hashOf(token)).toHaveLength(32)
    const zeros = 'A'.repeat(43)
    expect(hashOpaqueToken(zeros)).toBeDefined()
    for (const last of 'BCD') expect(hashOpaqueToken(zeros.slice(0, -1) + last)).toBeUndefined()
  })

  test.each([
    '',
    'x',
    'A'.repeat(42),
    'A'.repeat(44),
    `${'A'.repeat(42)}=`,
    `${'A'.repeat(42)}+`,
    `${'A'.repeat(43)}\n`,
  ])('is not %j', (text) => expect(hashOpaqueToken(text)).toBeUndefined())
})

describe('T2 the successor of a refresh token', () => {
  const tokens = refreshTokens({ keys: [secret(1)] })
  const parent = hashOf(newOpaqueToken())

  test('is a token of its own, the same each time, and another for another parent, family or key', () => {
    const successor = tokens.successor(parent, familyId)
    expect(hashOpaqueToken(successor)).toBeDefined()
    expect(tokens.successor(parent, familyId)).toBe(successor)
    expect(tokens.successor(hashOf(newOpaqueToken()), familyId)).not.toBe(successor)
    expect(tokens.successor(parent, 'fam_2')).not.toBe(successor)
    expect(refreshTokens({ keys: [secret(2)] }).successor(parent, familyId)).not.toBe(successor)
  })

  test('is found again after the key was replaced, as long as the old one is listed', () => {
    const successor = tokens.successor(parent, familyId)
    const stored = hashOf(successor)
    const both = refreshTokens({ keys: [secret(2), secret(1)] })
    expect(both.successorStoredAs(parent, familyId, stored)).toBe(successor)
    expect(both.successor(parent, familyId)).not.toBe(successor)
    const without = refreshTokens({ keys: [secret(2)] })
    expect(without.successorStoredAs(parent, familyId, stored)).toBeUndefined()
  })
})

describe('R3 secrets', () => {
  test('are 32 bytes or more in base64, several by commas', () => {
    const text = [secret(1), secret(2)].map((one) => one.toString('base64')).join(', ')
    expect(readSecrets(text)).toEqual([secret(1), secret(2)])
    expect(readSecrets(Buffer.alloc(48, 3).toString('base64url'))).toEqual([Buffer.alloc(48, 3)])
  })

  test.each(['', 'short', `${secret(1).toString('base64')},short`, 'not base64 '.repeat(8)])(
    'are not %j, and the sentence does not repeat it',
    (text) => {
      expect(() => readSecrets(text)).toThrow(/openssl rand/)
      expect(() => readSecrets(text)).not.toThrow(/short|not base64 /)
    },
  )

  test('give a key of its own for each purpose', () => {
    const [first] = keysFor('refresh token', [secret(1)])
    const [second] = keysFor('device token', [secret(1)])
    expect(first).toHaveLength(32)
    expect(first.equals(second)).toBe(false)
    expect(first.equals(keysFor('refresh token', [secret(1)])[0])).toBe(true)
  })
})
