const clientMessages =
  /^(Connection is closed|Command timed out|Command aborted|Stream isn't writeable|Cluster isn't ready|Cluster is ended|None of startup nodes|Failed to refresh slots cache|Reached the max retries|Socket timeout|connect ETIMEDOUT)/
const serverCodes =
  /^(LOADING|MASTERDOWN|CLUSTERDOWN|READONLY|NOREPLICAS|TRYAGAIN|OOM|MISCONF|BUSY|UNBLOCKED|Too many Cluster redirections)/
const systemCodes =
  /^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENOTFOUND|EAI_AGAIN|ERR_STREAM_DESTROYED)/

/**
 * Whether a call failed because Redis could not be reached, did not answer in time, or cannot serve just now, as
 * opposed to a call that is wrong (syntax, rights, type). It may have been executed all the same.
 */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('code' in error && typeof error.code === 'string' && systemCodes.test(error.code)) return true
  return clientMessages.test(error.message) || serverCodes.test(error.message)
}

/**
 * Whether the server answered, but does not want to: memory is full, it is no master, has lost its replicas, or the user
 * has no right to it. Another attempt is no use now, and the server is not to be taken for silent.
 */
export function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(OOM|NOREPLICAS|READONLY|MISCONF|NOPERM|ERR The user executing the script can't)/.test(
      error.message,
    )
  )
}

/** Whether the server refused who we are, which waiting does not heal. */
export function isRefused(error: unknown): boolean {
  return (
    error instanceof Error && /^(WRONGPASS|NOAUTH|NOPERM|ERR invalid password)/.test(error.message)
  )
}

/**
 * Takes what was sent (values, tokens, at the handshake the password) off an error, where ioredis puts it and where
 * a log would print it. The name of the command stays.
 */
export function withoutArguments<E>(error: E): E {
  if (error instanceof Error && 'command' in error) {
    const { command } = error
    if (typeof command === 'object' && command && 'args' in command) command.args = []
  }
  return error
}
