import { addRoute } from '@wattle/service'
import type { FastifyInstance, FastifySchemaCompiler } from 'fastify'
import type { Routes } from './routes.ts'
import type { Upstream } from './upstream.ts'

/**
 * Opens the routes of a service under `/api`, one by one: what is not listed does not exist out here. Path parameters
 * are checked against the contract; queries and bodies are bounded and left to the service, which checks them.
 */
export async function exposeRoutes(
  app: FastifyInstance,
  service: string,
  routes: Routes,
  upstream: Upstream,
): Promise<void> {
  await app.register((scope, _options, done) => {
    const validate = scope.validatorCompiler as FastifySchemaCompiler<unknown> | undefined
    scope.setValidatorCompiler((part) =>
      part.httpPart === 'params' && validate !== undefined ? validate(part) : () => true,
    )
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => {
      parsed(null, body)
    })
    for (const contract of Object.values(routes)) {
      if (contract.auth === 'service') continue
      const options = { prefix: '/api', tag: service }
      addRoute(
        scope,
        contract,
        (call) => upstream.forward(contract, call.request, call.reply),
        options,
      )
    }
    done()
  })
}
