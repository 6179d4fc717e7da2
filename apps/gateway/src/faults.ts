import { AppError, type RouteContract } from '@wattle/contracts'

/** What is wrong with a reply that no process of this service gives: another program listens at its address. */
export function misfit(
  contract: RouteContract,
  status: number,
  contentType: string,
): string | undefined {
  if (status === 304) return undefined
  if (status >= 400 && status <= 599) {
    if (contentType.startsWith('application/problem+json')) return undefined
    return `status ${status} without a problem document`
  }
  if (!(status in contract.replies)) return `status ${status} is not in the contract`
  if (status === 204 || contentType.startsWith('application/json')) return undefined
  return `a body of type "${contentType}"`
}

const reset = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])
const unreachable = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** True when the connection was lost before a reply began. */
export function wasReset(error: unknown): boolean {
  return reset.has(codeOf(error))
}

/** What callers are told of a request that got no reply. */
export function failure(service: string, error: unknown): AppError {
  const code = codeOf(error)
  if (code === 'UND_ERR_INVALID_ARG') {
    return new AppError(
      'BAD_REQUEST',
      'The address or a header holds a character that may not be there.',
      { cause: error },
    )
  }
  return unreachable.has(code) ? unavailable(service, error) : wrongReply(service, error)
}

export function unavailable(service: string, cause: unknown): AppError {
  return new AppError('UNAVAILABLE', `The ${service} service is not available at the moment.`, {
    cause,
    retryAfterSeconds: 1,
  })
}

export function wrongReply(service: string, cause: unknown): AppError {
  return new AppError('BAD_GATEWAY', `The ${service} service answered wrongly.`, { cause })
}

/** The code of an error, or of the first of those it gathers (one for each address that was tried). */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  const { code } = (typeof error === 'object' && error !== null ? error : {}) as { code?: unknown }
  return typeof code === 'string' ? code : ''
}
