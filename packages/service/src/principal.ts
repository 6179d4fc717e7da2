import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError, type Id, type RouteAuth, type RouteContract } from '@wattle/contracts'

/** Who makes a request: a person has a `userId`, another service a `service` name. */
export type Principal = {
  readonly userId?: Id<'usr'>
  readonly service?: string
  readonly roles: readonly string[]
  /** Id of the access token that the request came in with. */
  readonly tokenId?: string
  /** The session and the family of refresh tokens that it belongs to. */
  readonly sessionId?: Id<'ses'>
  readonly familyId?: Id<'fam'>
}

export type UserPrincipal = Principal & { readonly userId: Id<'usr'> }
export type ServicePrincipal = Principal & { readonly service: string }

/** Tells who makes a request; throws AppError('UNAUTHENTICATED') when it does not say so credibly. */
export type Authenticate = (request: FastifyRequest) => Promise<Principal>

/** What the handler of a route gets as `user`, by the route's `auth`. */
export type PrincipalOf<A extends RouteAuth> = A extends 'public'
  ? undefined
  : A extends 'service'
    ? ServicePrincipal
    : UserPrincipal

/** The hook that lets only those in whom the contract allows. It runs before the body is read. */
export function guard(
  { auth, callers }: Pick<RouteContract, 'auth' | 'callers'>,
  authenticate: Authenticate,
) {
  return async (request: FastifyRequest, _reply: FastifyReply): Promise<void> => {
    const principal = await authenticate(request)
    request.principal = principal
    if (auth === 'service' && principal.service === undefined) {
      throw new AppError('FORBIDDEN', 'Only other services may call this.')
    }
    if (auth === 'service' && callers?.includes(principal.service ?? '') === false) {
      throw new AppError('FORBIDDEN', 'Your service may not call this.')
    }
    if (auth !== 'service' && principal.userId === undefined) {
      throw new AppError('FORBIDDEN', 'Only a signed-in person may call this.')
    }
    if (auth === 'operator' && !principal.roles.includes('operator')) {
      throw new AppError('FORBIDDEN', 'Only operators may call this.')
    }
  }
}
