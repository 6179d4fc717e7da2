import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { keySpace, personal, type KeyPart } from '../src/index.ts'

const personalSecret = 'a secret of at least thirty-two characters'
const keys = keySpace({ environment: 'test', service: 'billing', personalSecret })

const byText = (a: string, b: string) => (a < b ? -1 : 1)

/** What `encodePart` promises to tell apart, as text by another way: JSON with the type beside each value. */
function identity(part: KeyPart): string {
  if (part === null || part === undefined) return String(part)
  if (part instanceof Date) return `date ${part.getTime()}`
  if (part instanceof Uint8Array) return `bytes ${part.join()}`
  if (Array.isArray(part)) return `array ${JSON.stringify(part.map(identity))}`
  if (typeof part !== 'object') {
    return `${typeof part} ${JSON.stringify(Object.is(part, -0) ? '0' : String(part))}`
  }
  const properties = Object.entries(part as { [name: string]: KeyPart })
  const present = properties.filter(([, value]) => value !== undefined)
  return `object ${JSON.stringify(present.map(([name, value]) => JSON.stringify([name, identity(value)])).toSorted(byText))}`
}

const hostileUnits = ':{}*?[]\\^%~#(),=@. \n\u0000aAnu013ü\u2028\uD800\uDC00'.split('')
/** Strings close to the syntax of keys, where a collision would hide. */
const hostile = fc.oneof(
  fc.string({ unit: fc.constantFrom(...hostileUnits) }),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('~1', '~true', '~null', '~empty', '~', '%3A', '%u0041', '1', '1n', 'true', ''),
)
const part: fc.Arbitrary<KeyPart> = fc.letrec<{ part: KeyPart }>((tie) => ({
  part: fc.oneof(
    { maxDepth: 3 },
    hostile,
    fc.double(),
    fc.integer(),
    fc.bigInt(),
    fc.boolean(),
    fc.constantFrom(null, undefined),
    fc.date(),
    fc.uint8Array(),
    fc.array(tie('part'), { maxLength: 4 }),
    fc.dictionary(hostile, tie('part'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).part
const parts = fc.array(part, { maxLength: 4 })

describe('C1: keys', () => {
  test('are made of environment, service, kind, schema version and parts', () => {
    expect(keys.prefix).toBe('test:billing:')
    expect(keys.key('bill', 'usr_1', 7)).toBe('test:billing:bill@1:usr_1:~7')
    expect(keys.key('bill@2', 'usr_1')).toBe('test:billing:bill@2:usr_1')
    expect(keys.channel('invalidations')).toBe('test:billing:invalidations@1')
  })

  test('a kind without a version is its version 1', () => {
    expect(keys.key('bill', 'a')).toBe(keys.key('bill@1', 'a'))
  })

  test('different parts never make the same key', () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const same = JSON.stringify(a.map(identity)) === JSON.stringify(b.map(identity))
        expect(keys.key('k', ...a) === keys.key('k', ...b)).toBe(same)
      }),
      { numRuns: 2000 },
    )
  })

  test('different parts never make the same key: all small ones', () => {
    const strings = ['']
    const alphabet = ':%~(),=#@an1{\uD800é'.split('')
    for (const a of alphabet) strings.push(a, ...alphabet.map((b) => a + b))
    const simple: KeyPart[] = [...strings, 0, 1, -1, 0.5, 1e21, NaN, Infinity, 0n, 1n, true, false]
    simple.push(null, undefined, new Date(0), new Date(1), new Uint8Array(), new Uint8Array([1]))
    const values = [...simple]
    for (const value of simple) {
      values.push([value], [value, value], ['a', value], [value, 'a'], { a: [value] })
      if (value !== undefined)
        values.push({ a: value }, { a: value, b: value }, { a: { a: value } })
    }
    values.push([], {}, [[]], [{}], ...strings.flatMap((name) => [{ [name]: 'a' }, [name]]))
    const seen = new Map<string, string>()
    for (const list of [
      [],
      ...values.map((value) => [value]),
      ...values.map((value) => ['a', value]),
    ]) {
      const key = keys.key('k', ...list)
      const is = JSON.stringify(list.map(identity))
      expect(seen.get(key) ?? is).toBe(is)
      seen.set(key, is)
    }
  })

  test('1, "1", 1n, true, "true", null, undefined and no part at all are told apart', () => {
    const lists: KeyPart[][] = [[1], ['1'], [1n], [true], ['true'], [null], ['null'], [undefined]]
    lists.push(['undefined'], [''], [], ['~'], [[]], [{}], ['a', 'b'], ['a:b'], [['a', 'b']])
    expect(new Set(lists.map((list) => keys.key('k', ...list))).size).toBe(lists.length)
  })

  test('the order of an object does not matter, and an undefined property is an absent one', () => {
    expect(keys.key('k', { b: 1, a: undefined, c: { z: 1, y: 2 } })).toBe(
      keys.key('k', { c: { y: 2, z: 1 }, b: 1 }),
    )
  })

  test('hold no separator, glob, brace, control or space characters from a part', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const [, , , written = ''] = keys.key('k', text).split(':')
        expect(keys.key('k', text)).toBe(`test:billing:k@1:${written}`)
        expect(written).not.toMatch(/[:{}*?[\]\\^\p{C}\p{Z}]/u)
        expect(Buffer.from(written).toString()).toBe(written)
      }),
    )
  })

  test('an over-long part is replaced by a readable beginning and its hash', () => {
    const long = keys.key('search', `electricity ${'x'.repeat(5000)}`)
    expect(long).toMatch(/^test:billing:search@1:electricity%20x+#[\w-]{43}$/)
    expect(long).not.toBe(keys.key('search', `electricity ${'x'.repeat(5001)}`))
    expect(keys.key('search', { text: 'é:'.repeat(5000) }).length).toBeLessThan(120)
  })

  test('refuse what has no one meaning: functions, symbols, class instances, cycles', () => {
    const cycle: { self?: KeyPart } = {}
    cycle.self = cycle as KeyPart
    for (const bad of [() => 1, Symbol('x'), new Map(), new URL('http://a'), cycle]) {
      expect(() => keys.key('k', bad as KeyPart)).toThrow(TypeError)
    }
  })

  test('refuse names of kinds, environments and services that would break the shape', () => {
    for (const kind of ['', 'a:b', 'a b', 'bill@0', 'bill@', '1a', 'a*']) {
      expect(() => keys.key(kind, 'a')).toThrow('A kind of key is a name')
    }
    expect(() => keySpace({ environment: 'a:b', service: 'billing' })).toThrow('environment')
    expect(() => keySpace({ environment: 'test', service: 'Billing' })).toThrow('service')
  })
})

describe('C1: personal data', () => {
  const email = 'ada@example.org'

  test('never stands in a key in clear', () => {
    const key = keys.key('user', personal(email), { phone: personal('+2348000000001') })
    expect(key).toMatch(/^test:billing:user@1:~p[\w-]{22}:~\(phone=~p[\w-]{22}\)$/)
  })

  test('an e-mail address is hashed even when nobody marked it, wherever it stands', () => {
    for (const value of [email, `to ${email} now`, [email], { to: email }, { [email]: 1 }]) {
      expect(keys.key('user', value)).not.toContain('ada')
    }
    expect(keys.key('user', email)).toBe(keys.key('user', personal(email)))
  })

  test('cannot be found by hashing guesses without the secret', () => {
    const other = keySpace({
      environment: 'test',
      service: 'billing',
      personalSecret: 'another secret of thirty-two characters',
    })
    expect(other.key('user', personal(email))).not.toBe(keys.key('user', personal(email)))
  })

  test('is refused where there is no secret, or a short one', () => {
    const bare = keySpace({ environment: 'test', service: 'billing' })
    expect(() => bare.key('user', personal(email))).toThrow('personalSecret')
    expect(() =>
      keySpace({ environment: 'test', service: 'billing', personalSecret: 'short' }),
    ).toThrow('fewer than 32')
  })
})

describe('C1: patterns', () => {
  test('name the keys of a kind that begin with the given parts, literally', () => {
    expect(keys.pattern('bill')).toBe('test:billing:bill@1:*')
    expect(keys.pattern('bill', 'a*b')).toBe('test:billing:bill@1:a%2Ab:*')
    expect(keys.key('bill')).toBe('test:billing:bill@1:~')
  })
})
