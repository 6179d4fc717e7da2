import type { RouteContract } from '@wattle/contracts'
import type { UserPrincipal } from '@wattle/service'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KeyName } from './idempotency-store.ts'
import type { Idempotency, Operation } from './idempotency.ts'
import { idempotencyKeyOf } from './key-header.ts'

/**
 * Answers a keyed request of a route: does the operation, or repeats its answer and says so with
 * `Idempotency-Replayed: true`.
 */
export async function answerOnce<Reply>(
  idempotency: Idempotency,
  route: RouteContract,
  call: {
    readonly params: unknown
    readonly body: unknown
    readonly user: UserPrincipal
    readonly request: FastifyRequest
    readonly reply: FastifyReply
  },
  operationFor: (key: KeyName) => Operation,
): Promise<Reply> {
  const { params, body, user, request, reply } = call
  const key = { userId: user.userId, key: idempotencyKeyOf(request.headers) }
  const answer = await idempotency.once(
    {
      ...key,
      route: route.name,
      content: { params: params ?? null, body: body ?? null },
      deadline: request.deadline,
    },
    operationFor(key),
  )
  reply.code(answer.status)
  if (answer.isReplay) reply.header('idempotency-replayed', 'true')
  // Its own operation wrote it, or one of the same route and content did.
  return answer.body as Reply
}
