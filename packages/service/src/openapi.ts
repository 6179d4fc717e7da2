import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { errorCodes, ProblemDocument, type ErrorCode, type RouteContract } from '@wattle/contracts'

/** Codes that any route can answer with. */
const commonErrors: readonly ErrorCode[] = [
  'TOO_MANY_REQUESTS',
  'INTERNAL',
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
]

const idempotencyKey = {
  type: 'object',
  required: ['Idempotency-Key'],
  properties: {
    'Idempotency-Key': {
      type: 'string',
      description: 'Chosen by you; the same key and body get the same answer, once',
    },
  },
}

/** OpenAPI 3.1 from the contracts of the routes that are registered. */
export function openApiOptions(service: {
  name: string
  version: string
  description?: string
}): FastifyDynamicSwaggerOptions {
  const { name, version, description = `The ${name} service of Wattle.` } = service
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title: `Wattle ${name}`, version, description },
      components: {
        schemas: { ProblemDocument: plain(ProblemDocument) },
        securitySchemes: { bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } },
      },
    },
    transform: ({ schema, url, route }) => {
      const contract = route.config?.contract
      if (contract === undefined) return { schema, url }
      const errors = errorResponses(contract)
      const response = { ...(schema.response as object), ...errors }
      const security = contract.auth === 'public' ? [] : [{ bearer: [] }]
      const headers = contract.idempotencyKey === 'required' ? { headers: idempotencyKey } : {}
      return { schema: { ...schema, ...headers, response, security }, url }
    },
  }
}

/** What the OpenAPI document shows of a contract beyond its schemas. */
export function describeRoute(contract: RouteContract, tag: string) {
  return { operationId: contract.name, summary: contract.summary, tags: [tag] }
}

function errorResponses(contract: RouteContract): Record<number, unknown> {
  const takesInput =
    contract.params !== undefined || contract.query !== undefined || contract.body !== undefined
  const codes = new Set<ErrorCode>([
    ...(contract.errors ?? []),
    ...(takesInput ? (['VALIDATION_FAILED'] as const) : []),
    ...(contract.body === undefined
      ? []
      : (['BAD_REQUEST', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const)),
    ...(contract.auth === 'public' ? [] : (['UNAUTHENTICATED'] as const)),
    ...(contract.auth === 'operator' || contract.auth === 'service'
      ? (['FORBIDDEN'] as const)
      : []),
    ...commonErrors,
  ])
  const byStatus = Map.groupBy(codes, (code) => errorCodes[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.map((code) => `${code}: ${errorCodes[code].title}`).join('; '),
        content: {
          'application/problem+json': { schema: { $ref: '#/components/schemas/ProblemDocument' } },
        },
      },
    ]),
  )
}

function plain(schema: object): Record<string, unknown> {
  return JSON.parse(JSON.stringify(schema)) as Record<string, unknown>
}
