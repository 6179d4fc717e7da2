import { personal, type Personal } from '@wattle/redis'
import proxyAddr from '@fastify/proxy-addr'
import type { IncomingMessage } from 'node:http'
import { isIPv6 } from 'node:net'

/**
 * What counts as one address: an IPv4 address, or the /64 network of an IPv6 address, since whoever has one has all
 * of it. IPv4 inside IPv6 (`::ffff:192.0.2.1`) is IPv4. Other text stays as it is.
 */
export function addressGroup(address: string): string {
  const [plain = ''] = address.toLowerCase().split('%')
  if (!isIPv6(plain)) return plain
  const mapped = /^(?:0*:)*:?(?:0*:)*ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(plain)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail] = plain.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const after = tail === '' ? [] : tail.split(':')
    // An embedded IPv4 address stands for two groups.
    const width = after.reduce((sum, group) => sum + (group.includes('.') ? 2 : 1), 0)
    while (groups.length < 8 - width) groups.push('0')
    groups.push(...after)
  }
  const network = groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16))
  return `${network.join(':')}::/64`
}

const mostKnown = 1_000
const known = new Map<string, Personal>()
const lasting = new WeakSet<object>()

/** The key of an address: its group, hashed with the `personalSecret` of the key space. */
export function byAddress(address: string): Personal {
  let part = known.get(address)
  if (part === undefined) {
    part = personal(addressGroup(address))
    lasting.add(part)
    if (known.size >= mostKnown) known.clear()
    known.set(address, part)
  }
  return part
}

/** Whether the same object will come again for the same key, so that what was made of it is worth keeping. */
export function isLasting(part: object): boolean {
  return lasting.has(part)
}

export type ClientAddress = (request: { readonly raw: IncomingMessage }) => string

/**
 * The address of the client. `X-Forwarded-For` is believed as far as it was written by `trustedProxies` (addresses,
 * networks such as `10.0.0.0/8`, or `loopback`, `linklocal`, `uniquelocal`), read from its right end; without any it is
 * not looked at. Throws TypeError for a proxy that is no address.
 */
export function clientAddress(trustedProxies: readonly string[] = []): ClientAddress {
  if (trustedProxies.length === 0) return ({ raw }) => raw.socket.remoteAddress ?? 'unknown'
  const trusts = proxyAddr.compile([...trustedProxies])
  return ({ raw }) => proxyAddr(raw, trusts) ?? 'unknown'
}

/**
 * The country that a trusted proxy names in a header such as `cf-ipcountry`; undefined, so that rules for countries do
 * not apply, where the header is missing or the request did not come from one of `trustedProxies`.
 */
export function countryFromHeader(
  header: string,
  trustedProxies: readonly string[],
): (request: { readonly raw: IncomingMessage }) => string | undefined {
  const trusts = proxyAddr.compile([...trustedProxies])
  const name = header.toLowerCase()
  return ({ raw }) => {
    const value = raw.headers[name]
    if (typeof value !== 'string' || !/^[A-Za-z]{2}$/.test(value)) return undefined
    return trusts(raw.socket.remoteAddress ?? '', 0) ? value.toUpperCase() : undefined
  }
}
