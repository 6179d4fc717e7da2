import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { newId, type Id, type Payment } from '@wattle/contracts'
import type { CrashWorld } from './crash-world.ts'
import type { Random } from '@wattle/testkit'

type Answer = { status: number; body: Record<string, unknown> }
/** What was answered to the requests with one key, without their request ids. */
export type Answers = { userId: Id<'usr'>; texts: Set<string>; last: Answer }
export type Client = { readonly userId: Id<'usr'>; readonly tokenId: string }

const instruments = [
  ...Array.from({ length: 6 }, () => 'test_success'),
  'test_declined',
  'test_timeout_succeeds',
  'test_timeout_fails',
  'test_timeout_never_received',
  'test_late_success',
  'test_duplicate_callback',
  'test_out_of_order_callback',
  'test_callback_before_answer',
  'test_refund_timeout',
]

/** People who pay, cancel and refund through whichever copy is there, and repeat what was not answered. */
export function crashClients(world: CrashWorld, random: Random) {
  const { billing, copies, gateway } = world
  const answers = new Map<string, Answers>()
  let requests = 0

  async function send(
    client: Client,
    method: string,
    path: string,
    more: { key?: string; body?: unknown } = {},
  ): Promise<{ answer: Answer; text: string }> {
    const { key, body } = more
    const { address } = random.pick(copies)
    if (address === undefined) throw new Error('not there')
    requests += 1
    const token = gateway.tokenFor({ ...client, roles: [] }, 'payment')
    const reply = await fetch(`${address}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(1_500),
    })
    const text = await reply.text()
    const answer = { status: reply.status, body: JSON.parse(text) as Answer['body'] }
    if (answer.status >= 500 || answer.body['code'] === 'IDEMPOTENCY_IN_PROGRESS') {
      throw new Error(text)
    }
    return { answer, text: text.replace(/"requestId":"[^"]*"/, '') }
  }

  /** Repeats a request with its key until it is answered, sometimes twice at the same time. */
  async function post(client: Client, path: string, body?: unknown): Promise<Answer> {
    const key = randomUUID()
    const known: Answers = {
      userId: client.userId,
      texts: new Set(),
      last: { status: 0, body: {} },
    }
    answers.set(key, known)
    const attempt = async () => {
      const { answer, text } = await send(client, 'POST', path, { key, body })
      known.texts.add(text)
      known.last = answer
    }
    for (let tries = 0; tries < 400; tries++) {
      const attempts = random.chance(0.2) ? [attempt(), attempt()] : [attempt()]
      const results = await Promise.allSettled(attempts)
      if (results.some(({ status }) => status === 'fulfilled')) return known.last
      await delay(20 + random.below(100))
    }
    throw new Error(`never answered: ${path}`)
  }

  /** Pays bills until it is over. */
  async function pay(client: Client, isOver: () => boolean): Promise<void> {
    const bills = Array.from({ length: 4 }, () => billing.addBill(client.userId, 1_000))
    while (!isOver()) {
      const created = await post(client, '/payments', {
        billId: random.pick(bills).id,
        amountMinor: 50 + random.below(400),
        currency: 'NGN',
        instrument: random.pick(instruments),
        ...(random.chance(0.1) ? { couponCode: 'TWENTY' } : {}),
      })
      if (created.status !== 201) {
        if (created.body['code'] !== 'AMOUNT_EXCEEDS_DUE') throw new Error(JSON.stringify(created))
        bills.push(billing.addBill(client.userId, 1_000))
        continue
      }
      const { id } = created.body as Payment
      if (random.chance(0.08)) continue
      const confirm = () => post(client, `/payments/${id}/confirm`)
      if (random.chance(0.1)) {
        await Promise.all([post(client, `/payments/${id}/cancel`), confirm()])
        continue
      }
      const confirmed = await confirm()
      if (confirmed.body['state'] !== 'succeeded' || random.chance(0.6)) continue
      const refund = () =>
        post(client, `/payments/${id}/refunds`, { amountMinor: 1 + random.below(300) })
      await Promise.all(random.chance(0.5) ? [refund(), refund()] : [refund()])
    }
  }

  /** The ids of all payments that a client finds in their history. */
  async function history(client: Client): Promise<string[]> {
    const found: string[] = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const after: string = cursor === '' ? '' : `&cursor=${cursor}`
      const { answer } = await send(client, 'GET', `/payments?limit=100${after}`)
      const page = answer.body as { items: Payment[]; nextCursor: string | null }
      found.push(...page.items.map(({ id }) => id))
      cursor = page.nextCursor
    }
    return found
  }

  return {
    answers,
    history,
    newClient: (): Client => ({ userId: newId('usr'), tokenId: newId('tok') }),
    pay,
    requests: () => requests,
  }
}
