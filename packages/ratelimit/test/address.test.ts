import type { IncomingMessage } from 'node:http'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addressGroup, clientAddress } from '../src/index.ts'

const request = (remoteAddress: string, forwarded?: string) => ({
  raw: {
    headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    socket: { remoteAddress },
  } as unknown as IncomingMessage,
})

describe('L3 addresses', () => {
  test.for([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:0DB8:0000:0000:ffff:1:2:3', '2001:db8:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['unknown', 'unknown'],
  ] as const)('%s counts as %s', ([address, group]) => expect(addressGroup(address)).toBe(group))

  test('all addresses of a /64 are one, and those of another are not', () => {
    const groups = (length: number) =>
      fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: length, maxLength: length })
    const text = (parts: number[]) => parts.map((part) => part.toString(16)).join(':')
    fc.assert(
      fc.property(groups(4), groups(4), groups(4), (network, host, other) => {
        const group = addressGroup(text([...network, ...host]))
        expect(addressGroup(text([...network, ...other]))).toBe(group)
        const [first = 0, ...rest] = network
        expect(addressGroup(text([first ^ 1, ...rest, ...host]))).not.toBe(group)
      }),
    )
  })

  test('X-Forwarded-For is not looked at, unless a trusted proxy wrote it', () => {
    expect(clientAddress()(request('198.51.100.7', '203.0.113.9'))).toBe('198.51.100.7')
    const behind = clientAddress(['10.0.0.0/8', '192.0.2.1'])
    expect(behind(request('198.51.100.7', '203.0.113.9'))).toBe('198.51.100.7')
    expect(behind(request('10.0.0.1', '203.0.113.9'))).toBe('203.0.113.9')
    // What the client itself claims stands further left.
    expect(behind(request('10.0.0.1', '1.2.3.4, 203.0.113.9, 192.0.2.1'))).toBe('203.0.113.9')
    expect(() => clientAddress(['nonsense'])).toThrow(TypeError)
  })
})
