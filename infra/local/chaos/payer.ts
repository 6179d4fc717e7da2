import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { ok, post } from '../test/person.ts'
import type { Random } from '@wattle/testkit'

/** What a payment that was acknowledged said last. */
export type Acknowledged = { id: string; state: string; answers: Set<string> }

type Answer = { status: number; body: { id?: string; state?: string; code?: string } }

const instruments = [
  ...Array.from({ length: 6 }, () => 'test_success'),
  'test_declined',
  'test_insufficient_funds',
  'test_timeout_succeeds',
  'test_timeout_fails',
  'test_late_success',
  'test_duplicate_callback',
  'test_out_of_order_callback',
]

/** A person with bills who pays them, stubbornly: each request is repeated with its key until it is answered. */
export async function createPayer({
  api,
  number,
  random,
}: {
  api: string
  number: number
  random: Random
}) {
  const account = {
    email: `payer-${process.pid}-${number}@example.com`,
    password: 'correct horse battery',
  }
  const { id: userId } = await ok<{ id: string }>(
    await post(`${api}/auth/register`, { ...account, name: `Payer ${number}` }),
  )
  const { accessToken } = await ok<{ accessToken: string }>(
    await post(`${api}/auth/login`, account),
  )
  const acknowledged = new Map<string, Acknowledged>()
  const unexpected: string[] = []
  let requests = 0

  async function send(path: string, key: string, body?: object): Promise<Answer> {
    requests++
    const reply = await fetch(`${api}${path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${accessToken}`,
        'idempotency-key': key,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
      signal: AbortSignal.timeout(10_000),
    })
    const answer = { status: reply.status, body: (await reply.json()) as Answer['body'] }
    const isOpen = answer.status >= 500 || answer.body.code === 'IDEMPOTENCY_IN_PROGRESS'
    if (isOpen) throw new Error(`${answer.status} ${answer.body.code}`)
    return answer
  }

  /** Repeats until it is answered; now and then the same request is under way twice. */
  async function insist(path: string, body?: object): Promise<Answer> {
    const key = randomUUID()
    let last: unknown
    for (let tries = 0; tries < 300; tries++) {
      const copies = random.chance(0.1) ? 2 : 1
      const sent = Array.from({ length: copies }, () => send(path, key, body))
      const answers = (await Promise.allSettled(sent)).flatMap((result) => {
        if (result.status === 'fulfilled') return [result.value]
        last = result.reason
        return []
      })
      const [first, second] = answers
      if (first && second && first.body.id !== second.body.id) {
        unexpected.push(`one key, two payments: ${first.body.id} and ${second.body.id}`)
      }
      if (first) return first
      await wait(50 + random.below(200))
    }
    throw new Error(`never answered: ${path}`, { cause: last })
  }

  function note({ status, body }: Answer, expected: readonly string[]): boolean {
    if (status < 300 && body.id && body.state) {
      const known = acknowledged.get(body.id) ?? { id: body.id, state: '', answers: new Set() }
      known.state = body.state
      known.answers.add(body.state)
      acknowledged.set(body.id, known)
      return true
    }
    if (!expected.includes(body.code ?? '')) unexpected.push(`${status} ${JSON.stringify(body)}`)
    return false
  }

  /** Pays an amount of a bill; now and then twice with two keys, which must never pay too much. */
  async function pay(billId: string, amountMinor: number): Promise<void> {
    const twice = random.chance(0.1)
    await Promise.all(
      Array.from({ length: twice ? 2 : 1 }, async () => {
        const wanted = {
          billId,
          amountMinor,
          currency: 'NGN',
          instrument: random.pick(instruments),
          ...(random.chance(0.05) ? { couponCode: 'chaos' } : {}),
        }
        const created = await insist('/payments', wanted)
        if (!note(created, ['AMOUNT_EXCEEDS_DUE', 'BILL_NOT_PAYABLE', 'COUPON_REFUSED'])) return
        if (random.chance(0.05)) {
          note(await insist(`/payments/${created.body.id}/cancel`), ['PAYMENT_STATE_CONFLICT'])
          return
        }
        note(await insist(`/payments/${created.body.id}/confirm`), ['PAYMENT_STATE_CONFLICT'])
      }),
    )
  }

  /** All payments that this person finds in their history. */
  async function history(): Promise<Map<string, string>> {
    const found = new Map<string, string>()
    let cursor: string | null = ''
    while (cursor !== null) {
      const page: { items: { id: string; state: string }[]; nextCursor: string | null } = await ok(
        await fetch(`${api}/payments?limit=100${cursor && `&cursor=${cursor}`}`, {
          headers: { authorization: `Bearer ${accessToken}` },
        }),
      )
      for (const { id, state } of page.items) found.set(id, state)
      cursor = page.nextCursor
    }
    return found
  }

  return { userId, pay, history, acknowledged, unexpected, requests: () => requests }
}

export type Payer = Awaited<ReturnType<typeof createPayer>>
