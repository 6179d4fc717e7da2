/** Something the person who started the stack can put right; the message is for them, without a stack. */
export class Problem extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Problem'
  }
}

/** What to show of any error: the message of a Problem and of a failed program, the stack of a defect. */
export function wordsFor(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const isDefect = error instanceof TypeError || error instanceof ReferenceError
  return isDefect ? (error.stack ?? error.message) : error.message
}
