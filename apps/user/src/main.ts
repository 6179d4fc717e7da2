import { createCache } from '@wattle/cache'
import { openDatabase } from '@wattle/database'
import {
  bearerAuthentication,
  internalTokenVerifier,
  liveSet,
  readSecrets,
  remoteKeys,
  revocationChannel,
  revocationPublisher,
  watchedKeys,
} from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import { careFor, createLogger, createRegistry, runService } from '@wattle/service'
import { buildUser } from './app.ts'
import { userConfig } from './config.ts'
import { startJanitor } from './janitor.ts'
import { localInbox } from './mail/inbox.ts'
import { httpMailer } from './mail/mailer.ts'
import { createPasswords } from './passwords.ts'
import type { DB } from './schema.ts'
import { countriesFrom } from './session/countries.ts'
import { revocationLog } from './session/revocation-log.ts'
import { userWarming } from './warming.ts'

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

    const state = connectRedis({ url: config.WATTLE_REDIS_STATE_URL, name, log })
    onClose('redis state', () => state.close())
    // Nothing is learned from it here: the database is the truth.
    const channel = revocationChannel({ redis: state, keys, log })
    onClose('channel', () => channel.close())
    const publisher = revocationPublisher({
      log: revocationLog({ database, now: Date.now }),
      live: liveSet({ redis: state, keys }),
      channel,
      warn: (fields, message) => log.warn(fields, message),
    })
    publisher.start()
    onClose('revocations', () => publisher.close())
    const janitor = startJanitor({ database, log })
    onClose('janitor', () => janitor.close())

    const internalKeys = remoteKeys({ url: config.WATTLE_INTERNAL_JWKS_URL, log })
    onClose('keys', () => internalKeys.close())
    const authenticate = bearerAuthentication(
      internalTokenVerifier({ keys: internalKeys, service: name }),
    )

    const signingKeys = watchedKeys({
      pem: config.WATTLE_ACCESS_SIGNING_KEY,
      file: process.env['WATTLE_ACCESS_SIGNING_KEY_FILE'],
      log,
    })
    onClose('signing keys', () => signingKeys.close())
    const { WATTLE_MAIL_URL: mailUrl, WATTLE_MAIL_TOKEN: token, WATTLE_GEOIP: table } = config
    const inbox = mailUrl === undefined ? localInbox() : undefined
    const mailer =
      inbox ?? httpMailer({ url: mailUrl ?? '', ...(token === undefined ? {} : { token }) })
    onClose('mailer', () => mailer.close())
    const { app, cache: plan } = await buildUser({
      config,
      log,
      registry,
      authenticate,
      database,
      redis,
      state,
      cache,
      passwords: createPasswords(),
      signingKeys,
      secrets: readSecrets(config.WATTLE_SESSION_SECRET),
      publisher,
      mailer,
      ...(inbox === undefined ? {} : { inbox }),
      ...(table === undefined ? {} : { countryOf: countriesFrom(table) }),
    })
    careFor(app, { cache, onClose, ...userWarming({ plan, database, now: Date.now }) })
    return app
  },
})
