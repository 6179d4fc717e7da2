import { billingRoutes, userRoutes } from '@wattle/contracts'
import { addRoute, baseConfig, createService, loadConfig, runService } from '@wattle/service'
import { Type } from 'typebox'
await runService({
  name: 'billing',
  async start() {
    const config = loadConfig(Type.Object(baseConfig))
    const app = await createService({
      name: 'billing',
      version: '0.1.0',
      config,
      authenticate: async () => ({ userId: 'usr_1', roles: [] }),
      checks: { redis: { required: false, check: async () => false } },
    })
    addRoute(app, billingRoutes.listBills, ({ query, user }) => {
      console.log(query, user)
      return { items: [], nextCursor: null }
    })
    addRoute(app, billingRoutes.getBill, async () => {
      throw new Error('boom password=secret', { cause: new Error('inner') })
    })
    addRoute(app, userRoutes.register, async ({ body }) => ({
      id: 'usr_1',
      ...body,
      phone: null,
      version: 1,
      createdAt: 'x',
      updatedAt: 'y',
      secret: 1,
    }))
    return app
  },
})
