import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import type { InUnit, Unit } from '../payment/unit.ts'
import type { DB } from '../schema.ts'
import { idempotencyStore, type KeyName, type StoredAnswer } from './idempotency-store.ts'
import { requestHash } from './request-hash.ts'

/*
 * One effect for each key
 * =======================
 *
 * The first request with a key stores it in the transaction that also stores what it begins (a payment, a transition,
 * a refund), so a key without its work, or work without its key, cannot be left by a crash. What follows outside that
 * transaction (asking billing, charging) is `carryOn`: it goes on from wherever the work stands, and several may run it
 * at once without harm, because every step of it is idempotent by the id of the payment or refund. The first answer to
 * be stored is the answer of all.
 *
 * A request that finds the key being worked on waits for the answer. The lease only saves work: when it runs out (the
 * first process died or froze) the next request carries on.
 *
 * Answers that are decided are kept, refusals too. Failures on our side (5xx) are not: the retry carries on.
 */

export type KeyedRequest = KeyName & {
  /** What the key was used for, such as `confirmPayment`. */
  readonly route: string
  /** Path and body: the same key with other ones is a mistake of the caller. */
  readonly content: unknown
  /** The time that the request has left. */
  readonly deadline: { remainingMs(): number; readonly signal: AbortSignal }
}

export type Success = { readonly status: number; readonly body: unknown }

export type Operation = {
  /** The id of what the request makes or moves, when it is the first with its key. */
  readonly resourceId: string
  /**
   * Decides, and stores what must be carried on; in the transaction that stores the key. Returns the answer when
   * nothing is left to do. A refusal (AppError 4xx) must be thrown before anything is written.
   */
  begin(unit: Unit): Promise<Success | undefined>
  /** Goes on with the work on this resource; `isFirst` where nobody can have begun with it. */
  carryOn(resourceId: string, isFirst: boolean): Promise<Success>
}

/** Longer than a request takes on a good day, shorter than a client waits whose first request died. */
const leaseMs = 3_000
const pollMs = 50
/** Time kept for answering that somebody else is still at it. */
const reserveMs = 250

export type Idempotency = ReturnType<typeof createIdempotency>

export function createIdempotency(deps: {
  database: Pick<Database<DB>, 'kysely'>
  inUnit: InUnit
}) {
  const store = idempotencyStore(deps.database.kysely)

  /**
   * The answer to a request, by doing its operation or by repeating what was answered before. Throws the refusals of
   * the operation; IDEMPOTENCY_KEY_REUSED; IDEMPOTENCY_IN_PROGRESS when another request with the key takes too long.
   */
  async function once(request: KeyedRequest, operation: Operation): Promise<Replayable> {
    const hash = requestHash([request.route, request.content])
    for (;;) {
      const begun = await begin(request, hash, operation)
      if (begun === undefined) return carryOn(request, operation, operation.resourceId, true)
      if (begun !== 'key exists') return told(begun, false)
      const answer = await again(request, hash, operation)
      // Absent where the first request failed and took its key back meanwhile.
      if (answer !== undefined) return answer
    }
  }

  /** Stores the key and begins the work in one transaction. */
  function begin(request: KeyedRequest, hash: string, operation: Operation) {
    const { route } = request
    const { resourceId } = operation
    return deps.inUnit(async (unit): Promise<StoredAnswer | 'key exists' | undefined> => {
      const keys = idempotencyStore(unit.trx)
      if (!(await keys.insert(request, { route, hash, resourceId, leaseMs }))) return 'key exists'
      const answer = await decided(() => operation.begin(unit))
      return answer && keys.answer(request, answer)
    })
  }

  async function again(
    request: KeyedRequest,
    hash: string,
    operation: Operation,
  ): Promise<Replayable | undefined> {
    for (;;) {
      const row = await store.find(request)
      if (row === undefined) return undefined
      if (row.request_hash !== hash) {
        throw new AppError(
          'IDEMPOTENCY_KEY_REUSED',
          'This Idempotency-Key was sent before with another request; take a new one for each.',
        )
      }
      if (row.answer !== null) return told(row.answer, true)
      if (!row.is_leased && (await store.takeOver(request, leaseMs))) {
        return carryOn(request, operation, row.resource_id, false)
      }
      if (request.deadline.remainingMs() < pollMs + reserveMs) {
        throw new AppError(
          'IDEMPOTENCY_IN_PROGRESS',
          'The first request with this Idempotency-Key is still being worked on; repeat it shortly.',
          { retryAfterSeconds: 1 },
        )
      }
      await delay(pollMs)
    }
  }

  async function carryOn(
    request: KeyedRequest,
    operation: Operation,
    resourceId: string,
    isFirst: boolean,
  ): Promise<Replayable> {
    try {
      const answer = await decided(() => operation.carryOn(resourceId, isFirst))
      return told(await store.answer(request, answer), false)
    } catch (error) {
      if (!isRefusal(error)) await store.release(request).catch(() => {})
      throw error
    }
  }

  return { once }
}

/** An answer, and whether it repeats one that was given before. */
export type Replayable = Success & { readonly isReplay: boolean }

/** The result, or the refusal, of work as it is kept. Failures on our side are thrown. */
async function decided<T extends Success | undefined>(
  work: () => Promise<T>,
): Promise<T | StoredAnswer> {
  try {
    return await work()
  } catch (error) {
    if (!isRefusal(error)) throw error
    const { code, message, fields } = error
    return { refused: code, message, ...(fields === undefined ? {} : { fields }) }
  }
}

function isRefusal(error: unknown): error is AppError {
  return error instanceof AppError && error.status < 500
}

function told(answer: StoredAnswer, isReplay: boolean): Replayable {
  if ('refused' in answer) {
    const { refused, message, fields } = answer
    throw new AppError(refused, message, fields === undefined ? {} : { fields })
  }
  return { ...answer, isReplay }
}
