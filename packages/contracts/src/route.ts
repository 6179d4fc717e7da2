import type { Static, TObject, TSchema } from 'typebox'
import type { ErrorCode } from './errors.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/**
 * Who may call a route. `public`: anyone. `user`: a signed-in person, through the gateway. `operator`: a person with
 * that role. `service`: another service, never through the gateway.
 */
export type RouteAuth = 'public' | 'user' | 'operator' | 'service'

/**
 * The contract of one HTTP route. From this one object the service registers the Fastify route (validation, OpenAPI),
 * the gateway exposes it under `/api`, and callers get a typed client. Object schemas refuse unknown fields.
 */
export type RouteContract = {
  /** Name of the operation, unique in its service: `listBills`. */
  readonly name: string
  readonly method: Method
  /** Path in the service, with Fastify parameters: `/bills/:billId`. */
  readonly path: `/${string}`
  readonly summary: string
  readonly auth: RouteAuth
  /**
   * What the gateway does with a good access token while nobody can tell whether it was revoked (the `state` group of
   * Redis and the user service are both away): `closed` answers 503, for money and credentials; `open`, where it is not
   * said, lets it pass.
   */
  readonly whenUnknown?: 'closed' | 'open'
  /** Where `auth` is `service`: the services that may call it; where it is not said, all that the service knows. */
  readonly callers?: readonly string[]
  readonly params?: TObject
  readonly query?: TObject
  readonly body?: TSchema
  /** The caller must send an `Idempotency-Key` header: the same key and body get the same answer, once. */
  readonly idempotencyKey?: 'required'
  /** Schemas of the successful replies, by status. */
  readonly replies: Readonly<Record<number, TSchema>>
  /** Codes that callers should expect beyond the ones every route can give. */
  readonly errors?: readonly ErrorCode[]
  /** Time the whole call may take, in milliseconds; 5,000 where it is not said. */
  readonly deadlineMs?: number
}

/** Keeps the literal types of a contract; the object is returned as it is. */
export function defineRoute<const R extends RouteContract>(route: R): R {
  return route
}

type StaticOr<S, Otherwise> = S extends TSchema ? Static<S> : Otherwise

/** What a caller of the route hands in. */
export type RouteInput<R extends RouteContract> = (R['params'] extends TSchema
  ? { params: Static<R['params']> }
  : { params?: undefined }) &
  (R['query'] extends TSchema ? { query?: Partial<Static<R['query']>> } : { query?: undefined }) &
  (R['body'] extends TSchema ? { body: Static<R['body']> } : { body?: undefined })

/** What the handler of the route receives, validated and with defaults filled in. */
export type RouteRequest<R extends RouteContract> = {
  params: StaticOr<R['params'], undefined>
  query: StaticOr<R['query'], undefined>
  body: StaticOr<R['body'], undefined>
}

/** The body of a successful reply. */
export type RouteReply<R extends RouteContract> = {
  [S in keyof R['replies']]: R['replies'][S] extends TSchema ? Static<R['replies'][S]> : never
}[keyof R['replies']]
