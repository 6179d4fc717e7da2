import { createCache } from '@wattle/cache'
import { openDatabase } from '@wattle/database'
import { internalTokenVerifier, readSigningKeys, remoteKeys } from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import { createLogger, createRegistry, runService } from '@wattle/service'
import { buildUser } from './app.ts'
import { readConfig } from './config.ts'
import { createPasswords } from './passwords.ts'
import type { DB } from './schema.ts'

await runService({
  name: 'user',
  async start({ onClose }) {
    const config = readConfig()
    const log = createLogger({ name: 'user', config })
    const registry = createRegistry('user')

    const database = openDatabase<DB>({ url: config.DATABASE_URL_USER, name: 'user', log })
    onClose('database', () => database.close())
    const redis = connectRedis({ url: config.WATTLE_REDIS_CACHE_URL, name: 'user', log })
    onClose('redis', () => redis.close())
    const keys = keySpace({ environment: config.WATTLE_ENV, service: 'user' })
    const cache = createCache({ redis, keys, log, registry })
    onClose('cache', () => cache.close())
    const gatewayKeys = remoteKeys({ url: config.WATTLE_INTERNAL_JWKS_URL, log })
    onClose('keys', () => gatewayKeys.close())

    return buildUser({
      config,
      log,
      registry,
      database,
      redis,
      cache,
      passwords: createPasswords(),
      signingKeys: readSigningKeys(config.WATTLE_ACCESS_SIGNING_KEY),
      verifier: internalTokenVerifier({ keys: gatewayKeys, service: 'user' }),
    })
  },
})
