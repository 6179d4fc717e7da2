import { AppError } from '@wattle/contracts'
import type { FastifyInstance } from 'fastify'
import type { Lifecycle } from '../payment/lifecycle.ts'
import type { InUnit } from '../payment/unit.ts'
import type { Callback, Processor } from './processor.ts'

/** Where this process takes the callbacks of a processor; undefined while it does not listen. */
export function callbackUrlOf(app: FastifyInstance, processor: string): string | undefined {
  return app.addresses().length === 0
    ? undefined
    : `${app.listeningOrigin}${callbackPath(processor)}`
}

const callbackPath = (processor: string) => `/processors/${processor}/callbacks`

/**
 * Takes the callbacks of the processor at `/processors/<name>/callbacks`. Who may call is told by the signature over
 * the exact bytes, so the body is not parsed before. A callback and its effect are one transaction: a repeated one
 * finds its id and does nothing, and one that could not be stored is answered 5xx and sent again.
 */
export async function addCallbackRoute(
  app: FastifyInstance,
  deps: { inUnit: InUnit; lifecycle: Lifecycle; processor: Processor },
): Promise<void> {
  const { inUnit, lifecycle, processor } = deps

  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) =>
      done(null, body),
    )
    scope.route({
      method: 'POST',
      url: callbackPath(processor.name),
      schema: { hide: true },
      handler: async (request, reply) => {
        const body = request.body
        if (!Buffer.isBuffer(body)) throw new AppError('BAD_REQUEST', 'The body is empty.')
        const callback = processor.readCallback(request.headers, body)
        const effect = await take(callback)
        request.log.info({ callbackId: callback.id, type: callback.type, effect }, 'callback')
        return reply.code(204).send()
      },
    })
  })

  function take(callback: Callback): Promise<string> {
    const { id, type, chargeKey, answer } = callback
    return inUnit(async (unit) => {
      const { numInsertedOrUpdatedRows: news } = await unit.trx
        .insertInto('processor_callbacks')
        .values({ id, type, charge_key: chargeKey, processor: processor.name })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst()
      if (news === 0n) return 'repeated'
      // That it is pending is known already, or was once true.
      if (answer.outcome === 'pending') return 'noted'
      return lifecycle.settle(unit, chargeKey, answer, id)
    })
  }
}
