import { Type, type Static } from 'typebox'

/** Every error code a client can meet, with its HTTP status and title. Codes are stable; texts may change. */
export const errorCodes = {
  BAD_REQUEST: { status: 400, title: 'The request cannot be understood' },
  VALIDATION_FAILED: { status: 400, title: 'A field of the request is not valid' },
  UNAUTHENTICATED: { status: 401, title: 'A valid access token is required' },
  INVALID_CREDENTIALS: { status: 401, title: 'The e-mail address or the password is wrong' },
  REFRESH_TOKEN_INVALID: { status: 401, title: 'The refresh token is not valid' },
  FRESH_LOGIN_REQUIRED: { status: 401, title: 'Logging in again is required' },
  ONE_TIME_TOKEN_INVALID: { status: 400, title: 'This code is not valid any more' },
  FORBIDDEN: { status: 403, title: 'This is not allowed for you' },
  NOT_FOUND: { status: 404, title: 'There is nothing at this address' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'This method is not supported here' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request did not arrive in time' },
  EMAIL_TAKEN: { status: 409, title: 'An account with this e-mail address exists' },
  VERSION_CONFLICT: { status: 409, title: 'It was changed by someone else meanwhile' },
  ACCOUNT_LINKED: { status: 409, title: 'This utility account is linked already' },
  BILL_NOT_PAYABLE: { status: 409, title: 'This bill cannot be paid now' },
  AMOUNT_EXCEEDS_DUE: { status: 409, title: 'The amount is more than what is still due' },
  CURRENCY_MISMATCH: { status: 409, title: 'The bill is in another currency' },
  COUPON_REFUSED: { status: 409, title: 'The coupon cannot be used for this payment' },
  INSTRUMENT_UNKNOWN: { status: 400, title: 'The payment instrument is not known' },
  PAYMENT_STATE_CONFLICT: { status: 409, title: 'The state of the payment does not allow this' },
  REFUND_EXCEEDS_PAYMENT: {
    status: 409,
    title: 'The refund is more than what is left of the payment',
  },
  IDEMPOTENCY_KEY_REQUIRED: { status: 400, title: 'An Idempotency-Key header is required' },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: 'This Idempotency-Key was used for another request',
  },
  IDEMPOTENCY_IN_PROGRESS: { status: 409, title: 'The same request is still being worked on' },
  SIGNATURE_INVALID: { status: 401, title: 'The signature of the callback is not valid' },
  PAYLOAD_TOO_LARGE: { status: 413, title: 'The request body is too large' },
  URI_TOO_LONG: { status: 414, title: 'The address is too long' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The content type is not supported' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The request headers are too large' },
  TOO_MANY_REQUESTS: { status: 429, title: 'Too many requests' },
  INTERNAL: { status: 500, title: 'Something went wrong on our side' },
  BAD_GATEWAY: { status: 502, title: 'A service behind this one answered wrongly' },
  UNAVAILABLE: { status: 503, title: 'This is not available at the moment' },
  DEADLINE_EXCEEDED: { status: 504, title: 'It took longer than the request allows' },
} as const

export type ErrorCode = keyof typeof errorCodes

/** One fault of the input: where it is, what is wrong with it, and what would be right. */
export const FieldError = Type.Object({
  in: Type.Enum(['body', 'query', 'params', 'headers']),
  field: Type.String({
    description: 'Path of the field, such as preferences.language; empty for the whole',
  }),
  problem: Type.String({ description: 'What is wrong, and what would be right' }),
})
export type FieldError = Static<typeof FieldError>

/** RFC 9457 problem document, the body of every error reply (`application/problem+json`). */
export const ProblemDocument = Type.Object({
  type: Type.String({ description: 'URI reference of the kind of problem' }),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String({ description: 'Stable code, for programs' }),
  detail: Type.String({ description: 'What happened this time, for people' }),
  requestId: Type.String({ description: 'Quote it when asking for help' }),
  errors: Type.Optional(Type.Array(FieldError)),
})
export type ProblemDocument = Static<typeof ProblemDocument>

/**
 * The one error that services throw on purpose. `publicMessage` reaches the client; `cause` goes to the log only.
 * Anything else that is thrown becomes INTERNAL, and its text stays inside.
 */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly fields: readonly FieldError[] | undefined
  /** Seconds after which a retry may succeed; sent as `Retry-After`. */
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: ErrorCode,
    publicMessage: string,
    options: { cause?: unknown; fields?: readonly FieldError[]; retryAfterSeconds?: number } = {},
  ) {
    super(publicMessage, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'AppError'
    this.code = code
    this.fields = options.fields
    this.retryAfterSeconds = options.retryAfterSeconds
  }

  get status(): number {
    return errorCodes[this.code].status
  }
}
