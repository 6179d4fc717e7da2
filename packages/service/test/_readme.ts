import { Type } from 'typebox'
import { defineRoute } from '@wattle/contracts'
import { addRoute, baseConfig, createService, loadConfig, runService } from '@wattle/service'

const greet = defineRoute({
  name: 'greet',
  method: 'GET',
  path: '/greetings/:name',
  summary: 'A greeting',
  auth: 'public',
  params: Type.Object({ name: Type.String({ maxLength: 50 }) }, { additionalProperties: false }),
  replies: { 200: Type.Object({ text: Type.String() }) },
})

await runService({
  name: 'greeter',
  async start() {
    const config = loadConfig(Type.Object(baseConfig))
    const app = await createService({ name: 'greeter', version: '1.0.0', config })
    addRoute(app, greet, ({ params }) => ({ text: `Hello ${params.name}` }))
    return app
  },
})
