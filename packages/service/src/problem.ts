import { STATUS_CODES } from 'node:http'
import type { FastifyReply } from 'fastify'
import { AppError, errorCodes, type ErrorCode, type ProblemDocument } from '@wattle/contracts'

export const problemType = 'application/problem+json; charset=utf-8'

/** The RFC 9457 document of an error. Causes and stacks are no part of it. */
export function problemDocument(error: AppError, requestId: string): ProblemDocument {
  const { title, status } = errorCodes[error.code]
  return {
    type: `urn:wattle:problem:${error.code.toLowerCase().replaceAll('_', '-')}`,
    title,
    status,
    code: error.code,
    detail: error.message,
    requestId,
    ...(error.fields === undefined ? {} : { errors: [...error.fields] }),
  }
}

/** Answers with the problem document, `Retry-After` and `WWW-Authenticate` where they belong. */
export function sendProblem(
  reply: FastifyReply,
  error: AppError,
  extra: object = {},
): FastifyReply {
  // What a handler set for the answer it could not give.
  for (const name of ['etag', 'last-modified', 'age', 'content-encoding']) reply.removeHeader(name)
  // Left open, the connection takes the rest of a refused body, and the client gets to read the answer.
  reply.removeHeader('connection')
  reply.header('cache-control', 'no-store')
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', error.retryAfterSeconds)
  if (error.status === 401) reply.header('www-authenticate', 'Bearer')
  const document = { ...problemDocument(error, reply.request.id), ...extra }
  return reply.code(error.status).header('content-type', problemType).send(JSON.stringify(document))
}

/** The same as bytes for a connection whose request could not even be parsed; it closes the connection. */
export function rawProblem(error: AppError, requestId: string, date: Date): string {
  const body = JSON.stringify(problemDocument(error, requestId))
  return [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? 'Error'}`,
    `Date: ${date.toUTCString()}`,
    'Connection: close',
    `Content-Type: ${problemType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    '',
    body,
  ].join('\r\n')
}

const internalDetail = 'It is not your fault. Quote the request id when you ask for help.'

/** What callers are told of anything that was thrown. What is not expected becomes INTERNAL, and its text stays inside. */
export function toAppError(thrown: unknown, limits: { bodyLimit: number }): AppError {
  if (thrown instanceof AppError) return thrown
  const { code, statusCode } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as {
    code?: unknown
    statusCode?: unknown
  }
  const options = { cause: thrown }
  switch (code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new AppError('UNSUPPORTED_MEDIA_TYPE', 'Send the body as application/json.', options)
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new AppError(
        'PAYLOAD_TOO_LARGE',
        `The body may have at most ${limits.bodyLimit} bytes.`,
        options,
      )
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new AppError('BAD_REQUEST', 'The body is not as long as Content-Length says.', options)
    case 'FST_ERR_BAD_URL':
      return new AppError('BAD_REQUEST', 'The address holds a malformed percent-encoding.', options)
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new AppError('URI_TOO_LONG', 'A part of the address is too long.', options)
    case 'FST_UNDER_PRESSURE':
      return new AppError('UNAVAILABLE', 'Too busy at the moment; try again shortly.', {
        ...options,
        retryAfterSeconds: 2,
      })
  }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    const known = generalCodes[statusCode] ?? 'BAD_REQUEST'
    return new AppError(known, `${errorCodes[known].title}.`, options)
  }
  return new AppError('INTERNAL', internalDetail, options)
}

const generalCodes: Readonly<Record<number, ErrorCode>> = {
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  408: 'REQUEST_TIMEOUT',
  413: 'PAYLOAD_TOO_LARGE',
  414: 'URI_TOO_LONG',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  429: 'TOO_MANY_REQUESTS',
  431: 'HEADERS_TOO_LARGE',
}
