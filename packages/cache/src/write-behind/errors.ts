/**
 * Why a change was not accepted. `full`, `too-large`, `stopped`: it was surely not. `away`: Redis did not say, or no
 * replica confirmed it; it may reach the source all the same.
 */
export type RefusalReason = 'full' | 'too-large' | 'stopped' | 'away'

/** A change that `put` did not accept. */
export class WriteRefusedError extends Error {
  override readonly name = 'WriteRefusedError'
  readonly code = 'write_refused'
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/** A load was refused, since it is not known whether a newer value than the source's is on its way there. */
export class PendingUnknownError extends Error {
  override readonly name = 'PendingUnknownError'
  readonly code = 'pending_unknown'
}

const systemCodes =
  /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENOTFOUND|EAI_|UND_ERR_(SOCKET|\w*TIMEOUT))/
/** Connections, a server that is a replica, logging in, serialization, resources, operator intervention: no change's fault. */
const sqlClasses = /^(08|25006|28|40|53|55P03|57)/
/** What the driver `pg` rejects with, without a code, when a connection is lost, cannot be had, or was closed at shutdown. */
const driverTexts =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client .* is not queryable$|Cannot use a pool after calling end)/

/**
 * Whether a source that rejects with this is away, as opposed to refusing a change: by `code`, of the error or of its
 * cause, as Node, PostgreSQL and this repository's packages set it, and by what `pg` says.
 */
export function looksLikeOutage(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false
  if ('code' in cause && typeof cause.code === 'string') {
    const { code } = cause
    if (code === 'UNAVAILABLE' || code === 'DEADLINE_EXCEEDED' || systemCodes.test(code))
      return true
    if (code.length === 5 && sqlClasses.test(code)) return true
  }
  if (cause.name === 'TimeoutError' || driverTexts.test(cause.message)) return true
  return (
    (cause instanceof AggregateError && cause.errors.some(looksLikeOutage)) ||
    looksLikeOutage(cause.cause)
  )
}
