import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { countriesFrom } from '../src/session/countries.ts'
import { deviceOf } from '../src/session/device.ts'
import { networkOf, originOf } from '../src/session/origin.ts'
import { deviceTokens } from '../src/security/devices.ts'

describe('T5 where a request comes from', () => {
  test.each([
    ['203.0.113.7', '203.0.113.0/24'],
    ['2001:db8:7:1::1', '2001:db8:7::/48'],
    ['2001:db8::1', '2001:db8:0::/48'],
    ['::1', '0:0:0::/48'],
    ['2001:0db8:0007:0001:0000:0000:0000:0001', '2001:db8:7::/48'],
    ['fe80::', 'fe80:0:0::/48'],
  ])('%s belongs to %s', (address, network) => {
    expect(networkOf(address)).toBe(network)
  })

  test('two spellings of an IPv6 address belong to one network', () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        expect(networkOf(address)).toMatch(/^[0-9a-f]{1,4}:[0-9a-f]{1,4}:[0-9a-f]{1,4}::\/48$/)
      }),
    )
  })

  test('is what the gateway says, one address, else the peer', () => {
    const from = (forwarded: string | undefined, ip = '127.0.0.1') =>
      originOf({ headers: { 'x-forwarded-for': forwarded }, ip }).address
    expect(from('203.0.113.7')).toBe('203.0.113.7')
    expect(from('::ffff:203.0.113.7')).toBe('203.0.113.7')
    expect(from('2001:DB8::1')).toBe('2001:db8::1')
    for (const odd of [undefined, '', 'x', '1.2.3.4, 5.6.7.8', '1.2.3.4:80', '999.1.1.1']) {
      expect(from(odd, '192.0.2.1')).toBe('192.0.2.1')
    }
    expect(from(undefined, 'fe80::1%eth0')).toBe('fe80::1')
  })

  test.each([
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0',
      'Edge on Windows',
    ],
    [
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
      'Chrome on Windows',
    ],
    [
      'Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0 Mobile Safari/537.36',
      'Samsung Internet on Android',
    ],
    [
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15',
      'Safari on macOS',
    ],
    ['curl/8.5.0', 'curl'],
    ['okhttp/5.1', 'okhttp'],
    ['', 'Unknown'],
    [undefined, 'Unknown'],
    ['\u0001', 'Unknown'],
  ])('%s is %s', (userAgent, device) => {
    expect(deviceOf(userAgent)).toBe(device)
  })

  test('any user agent makes a device of 1 to 100 characters', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 2_000 }), (userAgent) => {
        const { length } = deviceOf(userAgent)
        expect(length).toBeGreaterThan(0)
        expect(length).toBeLessThanOrEqual(100)
      }),
    )
  })
})

describe('T5 the country of an address', () => {
  const countryOf = countriesFrom(
    '# a comment\n203.0.113.0/24,NG\n198.51.100.0/25,GH\r\n2001:db8::/32,ke\n\n192.0.2.1/32,ZA\n',
  )

  test.each([
    ['203.0.113.0', 'NG'],
    ['203.0.113.255', 'NG'],
    ['203.0.114.0', null],
    ['198.51.100.127', 'GH'],
    ['198.51.100.128', null],
    ['192.0.2.1', 'ZA'],
    ['192.0.2.2', null],
    ['2001:db8:ffff::1', 'KE'],
    ['2001:db9::', null],
    ['::1', null],
    ['no address', null],
  ])('of %s is %s', (address, country) => {
    expect(countryOf(address)).toBe(country)
  })

  test.each([
    '203.0.113.0/33,NG',
    '203.0.113.0,NG',
    'x/24,NG',
    '203.0.113.0/24,NGA',
    '203.0.113.0/24',
  ])('is not read from the line %j', (line) => {
    expect(() => countriesFrom(`203.0.113.0/24,NG\n${line}`)).toThrow(/^line 2 /)
  })
})

describe('T7 a device token', () => {
  const secrets = [Buffer.alloc(32, 1)] as const
  const devices = deviceTokens({ secrets })
  const owner = 'usr_01936b0e-7c1a-7000-8000-000000000001'

  test('is known for its account, and for no other', () => {
    const token = devices.issue(owner)
    expect(devices.read(token, owner)).toMatchObject({ deviceId: expect.any(String) as string })
    expect(devices.read(token, owner.replace(/1$/, '2'))).toBeUndefined()
  })

  test('is known as the same device under a secret that was replaced, and not once that is gone', () => {
    const token = devices.issue(owner)
    const next = Buffer.alloc(32, 2)
    const both = deviceTokens({ secrets: [next, secrets[0]] })
    expect(both.read(token, owner)).toEqual(devices.read(token, owner))
    expect(deviceTokens({ secrets: [next] }).read(token, owner)).toBeUndefined()
    expect(devices.read(both.issue(owner), owner)).toBeUndefined()
  })

  test('with any one bit changed is none', () => {
    const token = Buffer.from(devices.issue(owner), 'base64url')
    for (let bit = 0; bit < token.length * 8; bit++) {
      const changed = Buffer.from(token)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(devices.read(changed.toString('base64url'), owner)).toBeUndefined()
    }
  })
})
