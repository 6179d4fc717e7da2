import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import { Type } from 'typebox'
import { AppError, type RouteContract, type RouteReply, type RouteRequest } from '@wattle/contracts'
import { describeRoute } from './openapi.ts'
import { guard, type PrincipalOf } from './principal.ts'
import { schemaFaults } from './schema-faults.ts'
import { schemaNode, type SchemaNode } from './schema-node.ts'

/** What a handler gets: the input by the contract, who asks, and Fastify's own objects for what is rare. */
export type RouteCall<R extends RouteContract> = RouteRequest<R> & {
  readonly user: PrincipalOf<R['auth']>
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

export type RouteHandler<R extends RouteContract> = (
  call: RouteCall<R>,
) => Promise<RouteReply<R>> | RouteReply<R>

export type AddRouteOptions = Pick<
  RouteShorthandOptions,
  'bodyLimit' | 'preHandler' | 'onRequest' | 'config'
> & {
  /** Put before the path of the contract, such as `/api`. */
  readonly prefix?: string
  /** Under which heading OpenAPI shows it; the name of the service. */
  readonly tag?: string
}

const nothing = Type.Object({}, { additionalProperties: false })

/**
 * Registers the route of a contract. Input is validated and unknown fields are refused; the answer is written by its
 * schema, so fields that the contract does not name never leave. The status is the contract's first, unless the handler
 * sets another with `reply.code`.
 *
 * Outside production a reply that does not fit its schema is an error.
 *
 * Throws at start when the contract leaves an object open, or needs an `authenticate` that the service has not got.
 */
export function addRoute<const R extends RouteContract>(
  app: FastifyInstance,
  contract: R,
  handler: RouteHandler<R>,
  options: AddRouteOptions = {},
): void {
  const { authenticate, name, config: serviceConfig } = app.service
  const { prefix = '', tag = name, config, onRequest, ...routeOptions } = options
  const checksReplies = serviceConfig.WATTLE_ENV !== 'production'
  for (const part of ['query', 'body'] as const) {
    const schema = contract[part]
    if (schema !== undefined) assertClosed(schemaNode(schema), `${contract.name}: ${part}`)
  }
  if (contract.auth !== 'public' && authenticate === undefined) {
    throw new Error(`${contract.name}: the route is not public; give createService an authenticate`)
  }
  const guards =
    contract.auth === 'public' || authenticate === undefined ? [] : [guard(contract, authenticate)]
  const [status = 200] = Object.keys(contract.replies).map(Number)

  app.route({
    ...routeOptions,
    method: contract.method,
    url: `${prefix}${contract.path}`,
    onRequest: [...guards, ...[onRequest ?? []].flat()],
    config: {
      ...config,
      contract,
      ...(contract.deadlineMs === undefined ? {} : { deadlineMs: contract.deadlineMs }),
    },
    schema: {
      ...describeRoute(contract, tag),
      querystring: contract.query ?? nothing,
      ...(contract.params === undefined ? {} : { params: contract.params }),
      ...(contract.body === undefined ? {} : { body: contract.body }),
      response: contract.replies,
    },
    handler: async (request, reply) => {
      reply.code(status)
      const { params, query, body, principal: user } = request
      if (contract.body === undefined) refuseFields(body)
      // Validated by the contract's schemas before it gets here, which the types cannot see.
      const call: unknown = { params, query, body, user, request, reply }
      let result: unknown
      try {
        result = await handler(call as RouteCall<R>)
      } catch (error) {
        // The deadline has answered already; what comes after it is of no interest to anyone.
        if (reply.sent) return undefined
        throw error
      }
      // The same, or the handler has sent by itself.
      if (reply.sent || reply.raw.headersSent) return undefined
      if (result === undefined) return reply.send()
      if (checksReplies) assertFits(contract, reply.statusCode, result)
      return result
    },
  })
}

/** A route without a body contract takes none, or an empty object; bytes are for the handler to judge. */
function refuseFields(body: unknown): void {
  if (body === undefined || body === null || Buffer.isBuffer(body)) return
  const isFields = typeof body === 'object' && !Array.isArray(body)
  const names = isFields ? Object.keys(body) : ['']
  if (names.length === 0) return
  const problem = 'is not known here; this route takes no body'
  const fields = names.slice(0, 64).map((field) => ({ in: 'body', field, problem }) as const)
  const [first = ''] = names
  throw new AppError(
    'VALIDATION_FAILED',
    `${first === '' ? 'body' : `body.${first}`} ${problem}.`,
    { fields },
  )
}

/** The serializer would write a missing amount as 0: outside production such a reply is an error that tests find. */
function assertFits(contract: RouteContract, status: number, reply: unknown): void {
  const schema = contract.replies[status]
  const faults = schema === undefined ? 'no schema' : schemaFaults(schema, reply)
  if (faults === undefined) return
  throw new Error(`${contract.name}: the reply ${status} does not fit its contract: ${faults}`)
}

/** Objects in input must refuse unknown fields: a misspelt field would otherwise be ignored in silence. */
function assertClosed(node: SchemaNode, place: string): void {
  if (node.properties !== undefined && node.additionalProperties === undefined) {
    throw new Error(
      `${place} must say additionalProperties: false, so that unknown fields are refused`,
    )
  }
  for (const [name, child] of Object.entries(node.properties ?? {}))
    assertClosed(child, `${place}.${name}`)
  if (node.items !== undefined) assertClosed(node.items, `${place}[]`)
  for (const branch of node.anyOf ?? []) assertClosed(branch, place)
}
