/** Somebody else has the lock, and kept it for as long as the caller wanted to wait. */
export class LockHeldError extends Error {
  override readonly name = 'LockHeldError'
  readonly code = 'lock_held'
}

/** Redis could not be asked, so nobody knows whose the lock is. The caller has not got it. */
export class LockUnavailableError extends Error {
  override readonly name = 'LockUnavailableError'
  readonly code = 'lock_unavailable'
}

/** The lock was no longer the caller's before the work was done: another may have worked at the same time. */
export class LockLostError extends Error {
  override readonly name = 'LockLostError'
  readonly code = 'lock_lost'
}
