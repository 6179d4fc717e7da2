import { setTimeout as delay } from 'node:timers/promises'
import { AppError, type RouteContract } from '@wattle/contracts'
import type { CallContext } from './client-request.ts'
import { defaultDeadlineMs } from './deadline.ts'

export type BoundOptions = {
  readonly context?: CallContext
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

export type Bound = {
  readonly signal: AbortSignal
  remainingMs(): number
  wait(ms: number): Promise<void>
  error(cause: unknown): AppError
  release(): void
}

/** The time of one call, retries included, and everything that may end it. */
export function boundOf(
  service: string,
  contract: RouteContract,
  { context, signal, timeoutMs = Infinity }: BoundOptions,
): Bound {
  const budgetMs = Math.min(
    contract.deadlineMs ?? defaultDeadlineMs,
    timeoutMs,
    context?.deadline.remainingMs() ?? Infinity,
  )
  const endsAtMs = performance.now() + budgetMs
  const controller = new AbortController()
  const abort = () => controller.abort()
  const timer = setTimeout(abort, budgetMs)
  const sources = [context?.deadline.signal, signal].filter((source) => source !== undefined)
  for (const source of sources) {
    if (source.aborted) abort()
    source.addEventListener('abort', abort, { once: true })
  }
  const error = (cause: unknown) =>
    new AppError('DEADLINE_EXCEEDED', `The ${service} service did not answer in time.`, { cause })
  return {
    signal: controller.signal,
    remainingMs: () => Math.max(0, endsAtMs - performance.now()),
    error,
    async wait(ms) {
      try {
        await delay(ms, undefined, { signal: controller.signal })
      } catch (cause) {
        throw error(cause)
      }
    },
    release() {
      clearTimeout(timer)
      for (const source of sources) source.removeEventListener('abort', abort)
    },
  }
}
