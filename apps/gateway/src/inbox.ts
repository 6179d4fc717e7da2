import { AppError } from '@wattle/contracts'
import type { FastifyInstance } from 'fastify'
import { request as ask } from 'undici'

/**
 * Shows at `/inbox` the mails that the user service of this machine sent. Whoever reads them can take over accounts, so
 * there is no such address in staging and production, and neither has the user service one.
 */
export function addInboxPage(app: FastifyInstance, inboxUrl: string): void {
  const { WATTLE_ENV } = app.service.config
  if (WATTLE_ENV !== 'development' && WATTLE_ENV !== 'test') return
  // Not among the routes that @fastify/swagger describes.
  const schema: object = { hide: true }
  app.get('/inbox', { schema }, async (request, reply) => {
    try {
      const { statusCode, body } = await ask(inboxUrl, { signal: request.deadline.signal })
      const page = await body.text()
      if (statusCode !== 200) throw new Error(`the inbox answered ${statusCode}`)
      return await reply
        .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
        .type('text/html; charset=utf-8')
        .send(page)
    } catch (cause) {
      if (reply.sent) return reply
      throw new AppError('UNAVAILABLE', 'The user service has no inbox to show at the moment.', {
        cause,
        retryAfterSeconds: 1,
      })
    }
  })
}
