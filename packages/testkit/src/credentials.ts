import { randomBytes } from 'node:crypto'
import type { RedisCredentials } from '@wattle/servers'

/** Fresh passwords for every account. */
export function testCredentials(
  services: readonly string[] = ['user', 'payment', 'billing', 'gateway'],
): RedisCredentials {
  const password = () => randomBytes(12).toString('hex')
  return {
    replication: password(),
    sentinel: password(),
    discovery: password(),
    admin: password(),
    services: Object.fromEntries(services.map((service) => [service, password()])),
  }
}
