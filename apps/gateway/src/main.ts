import { jwksPath, readSigningKeys, remoteKeys } from '@wattle/identity'
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

    const accessKeys = remoteKeys({
      url: `${config.WATTLE_USER_URL.replace(/\/$/, '')}${jwksPath}`,
      log,
    })
    onClose('keys', () => accessKeys.close())

    return buildGateway({
      config,
      log,
      registry,
      accessKeys,
      signingKeys: readSigningKeys(config.WATTLE_INTERNAL_SIGNING_KEY),
      corsOrigins: config.WATTLE_CORS_ORIGINS,
      services: [
        { name: 'user', url: config.WATTLE_USER_URL, routes: exposedServices.user },
        { name: 'payment', url: config.WATTLE_PAYMENT_URL, routes: exposedServices.payment },
        { name: 'billing', url: config.WATTLE_BILLING_URL, routes: exposedServices.billing },
      ],
    })
  },
})
