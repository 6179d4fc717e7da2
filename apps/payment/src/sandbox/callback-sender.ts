import type { Database } from '@wattle/database'
import { startLoop, type Loop } from '../loop.ts'
import { signatureHeaders } from '../processor/standard-webhooks.ts'
import type { DB } from '../schema.ts'
import { sandboxStore } from './sandbox-store.ts'

const batch = 20
const claimMs = 10_000
const timeoutMs = 3_000
const maxAttempts = 12

/**
 * Delivers the sandbox's callbacks to the payment service, signed, until they are taken: again after 0.5, 1, 2 … 60
 * seconds, twelve times in all. Any number of processes may run it.
 */
export function startCallbackSender(deps: {
  database: Database<DB>
  /** The address of the callbacks route; undefined while the service does not listen yet. */
  url: () => string | undefined
  secret: Buffer
  everyMs: number
  log: {
    info(details: object, message: string): void
    warn(details: object, message: string): void
  }
  now: () => number
  random: () => number
}): Loop {
  const { url, secret, everyMs, log, now, random } = deps
  const store = sandboxStore(deps.database)

  async function deliver(
    address: string,
    callback: { id: number; message_id: string; body: string; attempts: number },
  ): Promise<void> {
    const { id, message_id: messageId, body, attempts } = callback
    if (await isTaken(address, messageId, body)) {
      await store.delivered(id)
      return
    }
    if (attempts >= maxAttempts) log.warn({ messageId, attempts }, 'gave a callback up')
    const retryInMs = Math.min(60_000, 500 * 2 ** (attempts - 1)) * (0.8 + 0.4 * random())
    await store.undelivered(id, attempts >= maxAttempts ? undefined : retryInMs)
  }

  async function isTaken(address: string, messageId: string, body: string): Promise<boolean> {
    const headers = {
      'content-type': 'application/json',
      ...signatureHeaders(secret, { id: messageId, body, nowMs: now() }),
    }
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      const reply = await fetch(address, { method: 'POST', headers, body, signal })
      await reply.arrayBuffer()
      return reply.ok
    } catch {
      return false
    }
  }

  async function round(): Promise<boolean> {
    const address = url()
    if (address === undefined) return false
    const callbacks = await store.claimCallbacks(batch, claimMs)
    await Promise.all(callbacks.map((callback) => deliver(address, callback)))
    return callbacks.length === batch
  }

  return startLoop({ name: 'sandbox callbacks', everyMs, round, log, random })
}
