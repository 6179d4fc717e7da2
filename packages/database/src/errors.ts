import { AppError } from '@wattle/contracts'
import { DatabaseError } from 'pg'

/** SQLSTATE of an error that PostgreSQL reported; undefined for every other error. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined
}

/** The row exists already: a unique or primary key (of this name, where one is given) refused it. */
export function isUniqueViolation(error: unknown, constraint?: string): boolean {
  return violates(error, '23505', constraint)
}

/** The row refers to another that does not exist, or is still referred to. */
export function isForeignKeyViolation(error: unknown, constraint?: string): boolean {
  return violates(error, '23503', constraint)
}

/** A check constraint (of this name, where one is given) refused the row. */
export function isCheckViolation(error: unknown, constraint?: string): boolean {
  return violates(error, '23514', constraint)
}

/** The transaction lost against a concurrent one and may succeed when it is run again. */
export function isTransient(error: unknown): boolean {
  const state = sqlState(error)
  return state === serializationFailure || state === deadlockDetected
}

/** The database cannot serve this now. Nothing of the statement was done, except where it was a commit. */
export function unavailable(cause: unknown): AppError {
  return new AppError('UNAVAILABLE', 'The database cannot be reached at the moment', {
    cause,
    retryAfterSeconds: 1,
  })
}

/**
 * What a failed statement means to a request: a lost, refused or ending connection is UNAVAILABLE, a statement
 * time-out is DEADLINE_EXCEEDED. Anything else comes back unchanged, for the caller to know (`isUniqueViolation`)
 * or to be reported as INTERNAL.
 */
export function statementError(error: unknown): unknown {
  const state = sqlState(error)
  if (state === undefined) return isConnectionLoss(error) ? unavailable(error) : error
  if (state === queryCanceled) {
    return new AppError('DEADLINE_EXCEEDED', 'The database took too long', { cause: error })
  }
  return unavailableStates.has(state) || state.startsWith('08') ? unavailable(error) : error
}

const serializationFailure = '40001'
const deadlockDetected = '40P01'
const queryCanceled = '57014'

const unavailableStates = new Set([
  '25006', // read-only transaction: this server is a standby now
  '53300', // too many connections
  '55P03', // lock not available within lock_timeout
  '57P01', // terminated by an administrator, also at shutdown
  '57P02', // another process of the server crashed
  '57P03', // starting up or shutting down
  '57P05', // idle session time-out
])

function violates(error: unknown, state: string, constraint: string | undefined): boolean {
  if (!(error instanceof DatabaseError) || error.code !== state) return false
  return constraint === undefined || error.constraint === constraint
}

/** pg reports a lost connection by a system error or by a plain Error that only its text tells apart. */
function isConnectionLoss(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('syscall' in error) return true
  if ('code' in error && (error.code === 'EPIPE' || error.code === 'ECONNRESET')) return true
  return /^Connection terminated|is not queryable$|^timeout exceeded when trying to connect|^This socket has been ended/.test(
    error.message,
  )
}
