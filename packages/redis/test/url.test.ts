import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRedisUrl } from '../src/index.ts'

describe('R6: one URL describes any kind of Redis', () => {
  test('a single server', () => {
    expect(parseRedisUrl('redis://billing:p%40ss@cache.internal:6380/2')).toEqual({
      mode: 'single',
      host: 'cache.internal',
      port: 6380,
      user: 'billing',
      password: 'p@ss',
      database: 2,
    })
    expect(parseRedisUrl('redis://:secret@[::1]')).toEqual({
      mode: 'single',
      host: '::1',
      port: 6379,
      password: 'secret',
    })
  })

  test('a group watched by Sentinels', () => {
    const url = 'redis+sentinel://u:p@a:1,b:2,c/cache?sentinelUser=discovery&sentinelPassword=s%26s'
    expect(parseRedisUrl(url)).toEqual({
      mode: 'sentinel',
      sentinels: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
        { host: 'c', port: 26379 },
      ],
      group: 'cache',
      user: 'u',
      password: 'p',
      sentinelUser: 'discovery',
      sentinelPassword: 's&s',
    })
  })

  test('a cluster', () => {
    expect(parseRedisUrl('rediss+cluster://u:p@a:7000,b:7001')).toEqual({
      mode: 'cluster',
      nodes: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 7001 },
      ],
      user: 'u',
      password: 'p',
      tls: {},
    })
  })

  test('TLS with its files', () => {
    expect(parseRedisUrl('rediss://a?ca=/etc/ca.pem&serverName=redis.internal')).toMatchObject({
      tls: { caFile: '/etc/ca.pem', serverName: 'redis.internal' },
    })
    expect(parseRedisUrl('rediss+sentinel://a/state?ca=/ca.pem')).toMatchObject({
      tls: { caFile: '/ca.pem' },
      sentinelTls: { caFile: '/ca.pem' },
    })
  })
})

describe('R3: a wrong URL is refused in one sentence', () => {
  test.each([
    ['http://a', 'begins with one of redis://'],
    ['', 'begins with one of'],
    ['redis://', 'host name is missing'],
    ['redis://a:0', 'port'],
    ['redis://a:x', 'port'],
    ['redis://a,b', 'several hosts'],
    ['redis://a/x', 'database'],
    ['redis+sentinel://a,b', 'group'],
    ['redis+sentinel://a,:2/g', 'host 2'],
    ['redis+cluster://a/0', 'no path'],
    ['redis://user@a', 'user but no password'],
    ['redis://a?ca=/x', 'parameter that is not known'],
    ['rediss://a?cert=/x', 'only one of "cert" and "key"'],
    ['redis://u:p#q@a', 'percent-encode'],
    ['redis://u:%zz@a', 'percent-encoded'],
  ])('%s', (url, problem) => {
    expect(() => parseRedisUrl(url)).toThrow(problem)
  })

  test('and no part of the password appears in it', () => {
    const password = fc
      .string({ minLength: 6, unit: fc.constantFrom(...'Zq7:/?#@,[]%&= '.split('')) })
      .filter((text) => /[Zq7]/.test(text))
    fc.assert(
      fc.property(
        password,
        fc.constantFrom('redis', 'redis+sentinel', 'rediss+cluster', 'nonsense'),
        fc.constantFrom('', 'host', 'host:x', 'h1,h2/group?x=1'),
        (secret, scheme, rest) => {
          const problem = problemOf(`${scheme}://user:${secret}@${rest}`)
          expect(problem).not.toMatch(/[Zq7]/)
          expect(problem).toMatch(/^(none|Error: [A-Z][^\n]*\.)$/)
        },
      ),
      { numRuns: 1000 },
    )
  })
})

function problemOf(url: string): string {
  try {
    parseRedisUrl(url)
    return 'none'
  } catch (error) {
    return String(error)
  }
}
