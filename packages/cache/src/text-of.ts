/** What was thrown, in words. */
export const textOf = (cause: unknown): string =>
  cause instanceof Error ? cause.message : String(cause)
