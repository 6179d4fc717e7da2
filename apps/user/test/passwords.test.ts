import { describe, expect, test } from 'vitest'
import { createPasswords } from '../src/passwords.ts'

const cheap = { memoryKib: 64, passes: 1, lanes: 1 }

describe('T7 passwords', () => {
  test('are kept as argon2id of 19 MiB and two passes, in PHC form', async () => {
    const passwords = createPasswords()
    const phc = await passwords.hash('correct horse battery')
    expect(phc).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
    expect(await passwords.verify('correct horse battery', phc)).toEqual({
      matches: true,
      outdated: false,
    })
    expect(await passwords.verify('correct horse batterz', phc)).toMatchObject({ matches: false })
  })

  test('hashed elsewhere are understood, with the cost that their text names', async () => {
    // The example of the argon2 reference implementation.
    const phc =
      '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'
    const passwords = createPasswords()
    expect(await passwords.verify('password', phc)).toEqual({ matches: true, outdated: true })
    expect(await passwords.verify('passwore', phc)).toEqual({ matches: false, outdated: false })
  })

  test('equal ones have different texts', async () => {
    const passwords = createPasswords({ cost: cheap })
    const [one, other] = await Promise.all([passwords.hash('same'), passwords.hash('same')])
    expect(one).not.toBe(other)
  })

  test('typed on two keyboards are the same password', async () => {
    const passwords = createPasswords({ cost: cheap })
    const phc = await passwords.hash('pass\u0301word \uFB01')
    expect(await passwords.verify('pas\u015Bword fi', phc)).toMatchObject({ matches: true })
  })

  test('fit nobody when there is no account', async () => {
    const passwords = createPasswords({ cost: cheap })
    for (const password of ['', 'password', '\u0000', 'x'.repeat(128)]) {
      expect(await passwords.verify(password, undefined)).toEqual({
        matches: false,
        outdated: false,
      })
    }
  })

  test('whose text is damaged are an error, never a match', async () => {
    const passwords = createPasswords({ cost: cheap })
    const good = await passwords.hash('password')
    const damaged = [
      '',
      'plain',
      good.slice(0, -30),
      good.replace('argon2id', 'argon2d'),
      `${good}x=`,
    ]
    for (const phc of damaged) {
      await expect(passwords.verify('password', phc)).rejects.toThrow('damaged')
    }
  })
})
