import { createCache } from '@wattle/cache'
import { openDatabase } from '@wattle/database'
import {
  bearerAuthentication,
  internalTokenVerifier,
  readSigningKeys,
  remoteKeys,
} from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import { createLogger, createRegistry, runService } from '@wattle/service'
import { buildUser } from './app.ts'
import { userConfig } from './config.ts'
import { createPasswords } from './passwords.ts'
import type { DB } from './schema.ts'

const name = 'user'

await runService({
  name,
  async start({ onClose }) {
    const config = userConfig()
    const log = createLogger({ name, config })
    const registry = createRegistry(name)

    const database = openDatabase<DB>({
      url: config.DATABASE_URL_USER,
      name,
      poolSize: config.WATTLE_DATABASE_POOL,
      log,
    })
    onClose('database', () => database.close())

    const redis = connectRedis({ url: config.WATTLE_REDIS_CACHE_URL, name, log })
    onClose('redis', () => redis.close())
    const keys = keySpace({ environment: config.WATTLE_ENV, service: name })
    const cache = createCache({ redis, keys, log, registry })
    onClose('cache', () => cache.close())

    const internalKeys = remoteKeys({ url: config.WATTLE_INTERNAL_JWKS_URL, log })
    onClose('keys', () => internalKeys.close())
    const authenticate = bearerAuthentication(
      internalTokenVerifier({ keys: internalKeys, service: name }),
    )

    const signingKeys = readSigningKeys(config.WATTLE_ACCESS_SIGNING_KEY)
    const passwords = createPasswords()
    const kit = { config, log, registry, authenticate }
    return buildUser({ ...kit, database, redis, cache, passwords, signingKeys })
  },
})
