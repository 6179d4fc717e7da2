import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError, Currency } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { Type } from 'typebox'
import { Compile } from 'typebox/compile'
import type {
  Answer,
  Callback,
  ChargeRequest,
  Processor,
  RefundRequest,
} from '../processor/processor.ts'
import { verifiedId } from '../processor/standard-webhooks.ts'
import type { DB } from '../schema.ts'
import { instruments, type Behaviour } from './instruments.ts'
import { sandboxStore, type NewCallback, type Remembered } from './sandbox-store.ts'

const message = Compile(
  Type.Object({
    type: Type.Enum(['charge.pending', 'charge.succeeded', 'charge.failed']),
    chargeKey: Type.String({ minLength: 1, maxLength: 100 }),
    currency: Currency,
    amountMinor: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    reason: Type.Optional(Type.String({ maxLength: 100 })),
  }),
)

/**
 * A processor for trying things out: it moves no money, and does what its magic instruments (instruments.ts) say. It
 * remembers everything in tables of its own over connections of its own, so that killing the payment service loses
 * nothing of it: it behaves like a system elsewhere.
 */
export function createSandbox(deps: {
  database: Database<DB>
  secrets: readonly Buffer[]
  /** After which a charge that settles later is decided. */
  settleMs: number
  /** The longest way there, and the longest way back, of a charge or refund. */
  latencyMs: number
  now: () => number
  random: () => number
}): Processor {
  const { database, secrets, settleMs, latencyMs, now, random } = deps
  const onTheWay = () => (latencyMs === 0 ? undefined : delay(random() * latencyMs))
  const store = sandboxStore(database)

  async function charge(request: ChargeRequest, signal: AbortSignal): Promise<Answer> {
    const behaviour = behaviourOf(request.instrument)
    if (behaviour.outcome === undefined) return noAnswer(signal)
    const settleInMs = behaviour.settles === 'later' ? settleMs : 0
    await onTheWay()
    const taken = await store.takeCharge(
      { ...request, outcome: behaviour.outcome, reason: behaviour.reason, settleInMs },
      callbacksOf(request, behaviour, settleInMs),
    )
    refuseOtherAmount(taken, request)
    if (behaviour.answers === 'never') return noAnswer(signal)
    if (behaviour.answers === 'after_callbacks') await delay(settleMs, undefined, { signal })
    await onTheWay()
    return answerOf(taken)
  }

  async function refund(request: RefundRequest, signal: AbortSignal): Promise<Answer> {
    const charged = await store.charge(request.chargeKey)
    const behaviour = behaviourOf(charged?.instrument ?? '').refund
    if (behaviour === 'lost_once' && losesFirst(request.key)) return noAnswer(signal)
    await onTheWay()
    const taken = await store.takeRefund({
      ...request,
      outcome: behaviour === 'failed' ? 'failed' : 'succeeded',
      reason: behaviour === 'failed' ? 'account_closed' : undefined,
      settleInMs: behaviour === 'succeeds_without_answer' ? settleMs : 0,
    })
    refuseOtherAmount(taken, request)
    if (behaviour === 'succeeds_without_answer') return noAnswer(signal)
    await onTheWay()
    return answerOf(taken)
  }

  const seenOnce = new Set<string>()
  function losesFirst(key: string): boolean {
    if (seenOnce.has(key)) return false
    seenOnce.add(key)
    return true
  }

  return {
    name: 'sandbox',
    knows: (instrument) => Object.hasOwn(instruments, instrument),
    charge,
    async lookupCharge(key) {
      const known = await store.charge(key)
      return known === undefined ? { outcome: 'never_received' } : answerOf(known)
    },
    async cancelCharge(request) {
      // The canceled charge takes the key: one that arrives later finds it taken.
      const canceled = { outcome: 'canceled' as const, reason: 'canceled', settleInMs: 0 }
      return answerOf(await store.takeCharge({ ...request, ...canceled }, []))
    },
    refund,
    async lookupRefund(key) {
      const known = await store.refund(key)
      return known === undefined ? { outcome: 'never_received' } : answerOf(known)
    },
    readCallback(headers, body): Callback {
      const id = verifiedId(secrets, headers, body, now())
      const content = parsed(body)
      const { type, chargeKey, currency, amountMinor, reason = 'unknown' } = content
      const answer: Answer =
        type === 'charge.succeeded'
          ? { outcome: 'succeeded', currency, amountMinor }
          : type === 'charge.failed'
            ? { outcome: 'failed', reason }
            : { outcome: 'pending' }
      return { id, type, chargeKey, answer }
    },
  }
}

function behaviourOf(instrument: string): Behaviour {
  const behaviour = Object.hasOwn(instruments, instrument) ? instruments[instrument] : undefined
  if (behaviour === undefined) throw new Error(`the sandbox has no instrument ${instrument}`)
  return behaviour
}

function answerOf(taken: Remembered): Answer {
  if (!taken.is_settled) return { outcome: 'pending' }
  if (taken.outcome === 'succeeded') {
    return { outcome: 'succeeded', currency: taken.currency, amountMinor: taken.amount_minor }
  }
  return { outcome: 'failed', reason: taken.reason ?? 'unknown' }
}

function refuseOtherAmount(
  taken: Remembered,
  request: Pick<ChargeRequest, 'key' | 'currency' | 'amountMinor'>,
): void {
  if (taken.amount_minor === request.amountMinor && taken.currency === request.currency) return
  throw new Error(`the key ${request.key} was used with another amount`)
}

function noAnswer(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = () => reject(signal.reason as Error)
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}

function callbacksOf(
  request: ChargeRequest,
  { callbacks, reason }: Behaviour,
  settleInMs: number,
): NewCallback[] {
  return callbacks.flatMap(({ type, afterMs, repeats = 0 }) => {
    const { key: chargeKey, currency, amountMinor } = request
    const body = JSON.stringify({ type, chargeKey, currency, amountMinor, reason })
    const one = { messageId: `msg_${randomUUID()}`, chargeKey, body, dueInMs: settleInMs + afterMs }
    return Array.from({ length: 1 + repeats }, () => one)
  })
}

function parsed(body: Buffer) {
  let content: unknown
  try {
    content = JSON.parse(body.toString('utf8'))
  } catch {
    content = undefined
  }
  if (message.Check(content)) return content
  const problem = 'is not a message of the sandbox processor'
  throw new AppError('VALIDATION_FAILED', `The body ${problem}.`, {
    fields: [{ in: 'body', field: '', problem }],
  })
}
