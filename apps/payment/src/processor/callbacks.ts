import { AppError, paymentRoutes } from '@wattle/contracts'
import { addRoute } from '@wattle/service'
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

const callbackPath = (processor: string) =>
  paymentRoutes.takeCallback.path.replace(':processor', processor)

/**
 * Takes the callbacks of the processor. Who may call is told by the signature over the exact bytes, so the body is not
 * parsed before. A callback and its effect are one transaction: a repeated one finds its id and does nothing, and one
 * that could not be stored is answered 5xx and sent again.
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
    addRoute(scope, paymentRoutes.takeCallback, async ({ params, request }) => {
      if (params.processor !== processor.name) {
        throw new AppError('NOT_FOUND', 'There is no such processor.')
      }
      const bytes: unknown = request.body
      if (!Buffer.isBuffer(bytes)) throw new AppError('BAD_REQUEST', 'The body is empty.')
      const callback = processor.readCallback(request.headers, bytes)
      const effect = await take(callback)
      request.log.info({ callbackId: callback.id, type: callback.type, effect }, 'callback')
      return null
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
