import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { deviceOf } from './device.ts'

/** Where a request comes from, as far as it can be told. */
export type Origin = {
  readonly address: string
  /** What its neighbours share: /24 of IPv4, /48 of IPv6. */
  readonly network: string
  /** ISO 3166 code; null where nobody knows. */
  readonly country: string | null
  /** Such as `Firefox on Linux`, without versions, so that an update is no change. */
  readonly device: string
}

export type CountryOf = (address: string) => string | null

/**
 * Reads it off a request that the gateway forwarded. The gateway removes every `X-Forwarded-For` of clients and writes one
 * with a single address; a list, or what is no address, was not written by it, and then the peer's own address counts.
 */
export function originOf(
  request: Pick<FastifyRequest, 'headers' | 'ip'>,
  countryOf: CountryOf = () => null,
): Origin {
  const forwarded = request.headers['x-forwarded-for']
  const given = typeof forwarded === 'string' && isIP(forwarded) !== 0 ? forwarded : request.ip
  const address = plainAddress(given)
  return {
    address,
    network: networkOf(address),
    country: countryOf(address),
    device: deviceOf(request.headers['user-agent']),
  }
}

/** IPv4 in its own form also where it came mapped into IPv6, and without a zone. */
function plainAddress(address: string): string {
  const [bare = address] = address.split('%')
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1] ?? bare.toLowerCase()
}

/** `203.0.113.0/24`, `2001:db8:7::/48`. */
export function networkOf(address: string): string {
  if (isIP(address) === 4) return `${address.split('.').slice(0, 3).join('.')}.0/24`
  const [head = '', tail] = address.split('::')
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => '0')
  const groups = [...first, ...(tail === undefined ? [] : zeros), ...last].slice(0, 3)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/48`
}
