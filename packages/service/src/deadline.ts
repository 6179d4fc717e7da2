import type { FastifyReply } from 'fastify'
import { AppError } from '@wattle/contracts'

export const deadlineHeader = 'x-deadline-ms'
export const defaultDeadlineMs = 5_000
const maxDeadlineMs = 60_000

/**
 * The time that is left for a request. When it has passed, the caller has been answered 504, and `signal` is aborted;
 * it is also aborted when the caller has gone. Hand the signal to what takes time.
 */
export class Deadline {
  readonly #endsAtMs: number
  #controller: AbortController | undefined
  #reason: Error | undefined
  #timer: NodeJS.Timeout | undefined
  #isAnswering = false

  constructor(budgetMs: number) {
    this.#endsAtMs = performance.now() + budgetMs
  }

  /** Milliseconds left; 0 when the time has passed. */
  remainingMs(): number {
    return Math.max(0, this.#endsAtMs - performance.now())
  }

  /** Aborted when the time has passed or the caller has gone. */
  get signal(): AbortSignal {
    // Made on first use: most requests are answered from memory and never need one.
    this.#controller ??= new AbortController()
    if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  /** Starts the clock that answers 504. */
  start(reply: FastifyReply): void {
    this.#timer = setTimeout(expire, this.remainingMs(), this, reply)
  }

  /**
   * Says that the answer is on its way: from here on the clock can only cut off a stream, since a second answer would be
   * an error.
   */
  answering(isStream: boolean): void {
    this.#isAnswering = true
    if (!isStream) clearTimeout(this.#timer)
  }

  get isAnswering(): boolean {
    return this.#isAnswering
  }

  /** Stops the clock; a reason says that the work is not wanted any more. */
  end(reason?: Error): void {
    clearTimeout(this.#timer)
    if (reason === undefined || this.#reason !== undefined) return
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}

function expire(deadline: Deadline, reply: FastifyReply): void {
  const error = new AppError(
    'DEADLINE_EXCEEDED',
    'The time allowed for this request has passed; what it asked for may still happen.',
  )
  // The reply first: listeners of the signal must not get to answer before it.
  if (!reply.sent) {
    if (deadline.isAnswering) reply.raw.destroy(error)
    else reply.send(error)
  }
  deadline.end(error)
}

/**
 * The budget of a request: what its caller has left (`x-deadline-ms`), at most what the route allows.
 * Throws VALIDATION_FAILED when the header is not a whole number from 1 to 60000.
 */
export function budgetOf(header: string | string[] | undefined, routeDeadlineMs: number): number {
  if (header === undefined) return routeDeadlineMs
  const budgetMs = typeof header === 'string' && /^\d{1,5}$/.test(header) ? Number(header) : 0
  if (budgetMs >= 1 && budgetMs <= maxDeadlineMs) return Math.min(budgetMs, routeDeadlineMs)
  const problem = `must be a whole number of milliseconds from 1 to ${maxDeadlineMs}`
  throw new AppError('VALIDATION_FAILED', `The header ${deadlineHeader} ${problem}.`, {
    fields: [{ in: 'headers', field: deadlineHeader, problem }],
  })
}
