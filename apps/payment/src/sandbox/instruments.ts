/** What the sandbox does with an instrument. */
export type Behaviour = {
  /** What becomes of a charge; absent where no request of this instrument ever arrives. */
  readonly outcome?: 'succeeded' | 'failed'
  readonly reason?: string
  /** `at_once`: decided before the call returns. `later`: pending until the settling time has passed. */
  readonly settles: 'at_once' | 'later'
  /** Whether the charge call returns; `after_callbacks` gives the callbacks time to arrive before it does. */
  readonly answers: 'normally' | 'never' | 'after_callbacks'
  /** Callbacks in the order of sending; `repeats` sends one again under the same id. */
  readonly callbacks: readonly { type: CallbackType; afterMs: number; repeats?: number }[]
  readonly refund: 'succeeded' | 'failed' | 'succeeds_without_answer' | 'lost_once'
}

export type CallbackType = 'charge.pending' | 'charge.succeeded' | 'charge.failed'

const success: Behaviour = {
  outcome: 'succeeded',
  settles: 'at_once',
  answers: 'normally',
  callbacks: [],
  refund: 'succeeded',
}

/** The magic instruments, by token. */
export const instruments: Readonly<Record<string, Behaviour>> = {
  test_success: success,
  test_declined: { ...success, outcome: 'failed', reason: 'card_declined' },
  test_insufficient_funds: { ...success, outcome: 'failed', reason: 'insufficient_funds' },

  // The request arrives and is carried out, and no answer ever comes back.
  test_timeout_succeeds: { ...success, settles: 'later', answers: 'never' },
  test_timeout_fails: {
    ...success,
    outcome: 'failed',
    reason: 'issuer_unavailable',
    settles: 'later',
    answers: 'never',
  },
  // The request is lost on its way, each time.
  test_timeout_never_received: {
    settles: 'later',
    answers: 'never',
    callbacks: [],
    refund: 'succeeded',
  },

  test_late_success: {
    ...success,
    settles: 'later',
    callbacks: [{ type: 'charge.succeeded', afterMs: 0 }],
  },
  test_late_failure: {
    ...success,
    outcome: 'failed',
    reason: 'card_declined',
    settles: 'later',
    callbacks: [{ type: 'charge.failed', afterMs: 0 }],
  },
  test_duplicate_callback: {
    ...success,
    callbacks: [
      { type: 'charge.succeeded', afterMs: 0, repeats: 2 },
      { type: 'charge.succeeded', afterMs: 20 },
    ],
  },
  test_out_of_order_callback: {
    ...success,
    settles: 'later',
    callbacks: [
      { type: 'charge.succeeded', afterMs: 0 },
      { type: 'charge.pending', afterMs: 100 },
    ],
  },
  test_callback_before_answer: {
    ...success,
    answers: 'after_callbacks',
    callbacks: [{ type: 'charge.succeeded', afterMs: 0 }],
  },

  test_refund_fails: { ...success, refund: 'failed' },
  test_refund_timeout: { ...success, refund: 'succeeds_without_answer' },
  test_refund_lost_once: { ...success, refund: 'lost_once' },
}
