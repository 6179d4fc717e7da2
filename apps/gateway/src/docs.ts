import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'

/** The page at `/docs`: the merged OpenAPI document, readable and with a form for each route. It needs no other host. */
export async function addDocsPage(app: FastifyInstance): Promise<void> {
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    theme: { title: 'Wattle API' },
    uiConfig: { deepLinking: true, displayRequestDuration: true, persistAuthorization: false },
    // The default of this kit allows nothing; a page needs its own scripts, styles and requests.
    staticCSP: {
      'default-src': ["'none'"],
      'base-uri': ["'none'"],
      'connect-src': ["'self'"],
      'form-action': ["'none'"],
      'frame-ancestors': ["'none'"],
      'img-src': ["'self'", 'data:'],
      'script-src': ["'self'"],
      'style-src': ["'self'"],
    },
  })
}
