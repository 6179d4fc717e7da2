import type { FastifyInstance } from 'fastify'
import type { Jwks } from './keys.ts'

export const jwksPath = '/.well-known/jwks.json'

/** Publishes the public keys of this moment at `/.well-known/jwks.json`, with leave to keep them for a minute. */
export function publishJwks(app: FastifyInstance, jwks: Jwks | (() => Jwks)): void {
  // Not among the routes that @fastify/swagger describes.
  const schema: object = { hide: true }
  app.get(jwksPath, { schema }, (_request, reply) =>
    reply
      .header('content-type', 'application/jwk-set+json')
      .header('cache-control', 'public, max-age=60')
      .send(JSON.stringify(typeof jwks === 'function' ? jwks() : jwks)),
  )
}
