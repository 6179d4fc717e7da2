import {
  jwksPath,
  liveRevocations,
  polledChannel,
  remoteKeys,
  revocations,
  watchedKeys,
} from '@wattle/identity'
import { connectRedis, keySpace } from '@wattle/redis'
import { createLogger, createRegistry, runService } from '@wattle/service'
import { buildGateway } from './app.ts'
import { gatewayConfig } from './config.ts'
import { exposedServices } from './routes.ts'

const name = 'gateway'

await runService({
  name,
  async start({ onClose }) {
    const config = gatewayConfig()
    const log = createLogger({ name, config })
    const registry = createRegistry(name)

    const userUrl = config.WATTLE_USER_URL.replace(/\/$/, '')
    const accessKeys = remoteKeys({ url: `${userUrl}${jwksPath}`, log })
    onClose('keys', () => accessKeys.close())

    const state = connectRedis({ url: config.WATTLE_REDIS_STATE_URL, name, log })
    onClose('redis state', () => state.close())
    // The user service's: it issues, gateways listen.
    const keys = keySpace({ environment: config.WATTLE_ENV, service: 'user' })
    const view = revocations({
      channel: (listener) =>
        polledChannel({ redis: state, keys, name: 'revocation', listener, log }),
      source: liveRevocations({ redis: state, keys }),
      log,
    })
    onClose('revocations', () => view.close())

    const signingKeys = watchedKeys({
      pem: config.WATTLE_INTERNAL_SIGNING_KEY,
      file: process.env['WATTLE_INTERNAL_SIGNING_KEY_FILE'],
      log,
    })
    onClose('signing keys', () => signingKeys.close())

    return buildGateway({
      config,
      log,
      registry,
      accessKeys,
      revocations: view,
      state,
      inboxUrl: `${userUrl}/inbox`,
      signingKeys,
      corsOrigins: config.WATTLE_CORS_ORIGINS,
      services: [
        { name: 'user', url: config.WATTLE_USER_URL, routes: exposedServices.user },
        { name: 'payment', url: config.WATTLE_PAYMENT_URL, routes: exposedServices.payment },
        { name: 'billing', url: config.WATTLE_BILLING_URL, routes: exposedServices.billing },
      ],
    })
  },
})
