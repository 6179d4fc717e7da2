import { baseConfig, createService, loadConfig } from '@wattle/service'
import { Type } from 'typebox'
import { describe, expect, onTestFinished, test } from 'vitest'
import { addInboxPage } from '../src/inbox.ts'

async function appIn(WATTLE_ENV: string, inboxUrl: string) {
  const config = loadConfig(Type.Object({ ...baseConfig }), {
    WATTLE_ENV,
    WATTLE_SERVICE_PORT: '0',
    WATTLE_LOG_LEVEL: 'fatal',
  })
  const app = await createService({ name: 'gateway', version: '0', config })
  onTestFinished(() => app.close())
  addInboxPage(app, inboxUrl)
  return app
}

describe('the inbox of this machine', () => {
  test.each(['staging', 'production'])('is not there in %s', async (environment) => {
    const app = await appIn(environment, 'http://127.0.0.1:1/inbox')
    expect((await app.inject('/inbox')).statusCode).toBe(404)
  })

  test.each(['development', 'test'])(
    'says 503 in %s while the user service is away',
    async (environment) => {
      const app = await appIn(environment, 'http://127.0.0.1:1/inbox')
      expect((await app.inject('/inbox')).statusCode).toBe(503)
    },
  )
})
