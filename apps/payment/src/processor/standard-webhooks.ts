import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { AppError } from '@wattle/contracts'

/** How far the time in a signature may lie from ours, both ways. Within it, repetitions are known by their id. */
export const toleranceMs = 5 * 60_000

const idForm = /^[A-Za-z0-9_.-]{1,128}$/
const timestampForm = /^[1-9][0-9]{0,11}$/

/**
 * Reads `whsec_…` secrets, separated by spaces: the first signs, each verifies, so that one is replaced with overlap.
 * Throws an Error with one sentence that holds nothing of them.
 */
export function readSecrets(text: string): readonly [Buffer, ...Buffer[]] {
  const [first, ...others] = text
    .trim()
    .split(/\s+/)
    .map((secret) => {
      const encoded = /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/.exec(secret)?.[1]
      const key = Buffer.from(encoded ?? '', 'base64')
      if (key.length < 24 || key.length > 64) {
        throw new Error('must be whsec_ and 24 to 64 random bytes in base64, or several of these')
      }
      return key
    })
  if (first === undefined) throw new Error('holds no secret')
  return [first, ...others]
}

/** The headers that sign a message, in the form of Standard Webhooks: an HMAC over id, time and body. */
export function signatureHeaders(
  secret: Buffer,
  message: { id: string; body: string; nowMs: number },
): Record<string, string> {
  const timestamp = String(Math.floor(message.nowMs / 1000))
  return {
    'webhook-id': message.id,
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${sign(secret, message.id, timestamp, message.body)}`,
  }
}

/** The id of a message that one of the secrets signed within the tolerance. Throws AppError('SIGNATURE_INVALID'). */
export function verifiedId(
  secrets: readonly Buffer[],
  headers: IncomingHttpHeaders,
  body: Buffer,
  nowMs: number,
): string {
  const id = headers['webhook-id']
  const timestamp = headers['webhook-timestamp']
  const given = headers['webhook-signature']
  if (typeof id !== 'string' || typeof timestamp !== 'string' || typeof given !== 'string') {
    throw refused('Send webhook-id, webhook-timestamp and webhook-signature.')
  }
  if (!idForm.test(id) || !timestampForm.test(timestamp) || given.length > 2_000) {
    throw refused('The signature headers are malformed.')
  }
  if (Math.abs(nowMs - Number(timestamp) * 1000) > toleranceMs) {
    throw refused('The signature is older or newer than five minutes.')
  }
  const candidates = given
    .split(' ')
    .flatMap((part) => (part.startsWith('v1,') ? [Buffer.from(part.slice(3))] : []))
  const expected = secrets.map((secret) => Buffer.from(sign(secret, id, timestamp, body)))
  const isSigned = expected.some((right) =>
    candidates.some((one) => one.length === right.length && timingSafeEqual(one, right)),
  )
  if (!isSigned) throw refused('No signature is valid for this message.')
  return id
}

function sign(secret: Buffer, id: string, timestamp: string, body: string | Buffer): string {
  return createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest('base64')
}

function refused(message: string): AppError {
  return new AppError('SIGNATURE_INVALID', message)
}
