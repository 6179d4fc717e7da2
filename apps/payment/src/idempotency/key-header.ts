import type { IncomingHttpHeaders } from 'node:http'
import { AppError } from '@wattle/contracts'

const form = /^[\x21-\x7e]{1,255}$/

/** The Idempotency-Key of a request. Throws IDEMPOTENCY_KEY_REQUIRED, or VALIDATION_FAILED that names the header. */
export function idempotencyKeyOf(headers: IncomingHttpHeaders): string {
  const key = headers['idempotency-key']
  if (key === undefined || key === '') {
    throw new AppError(
      'IDEMPOTENCY_KEY_REQUIRED',
      'Send an Idempotency-Key header, such as a UUID, and the same one when you repeat the request.',
    )
  }
  if (typeof key === 'string' && form.test(key)) return key
  const problem = 'must be 1 to 255 printable ASCII characters without spaces'
  throw new AppError('VALIDATION_FAILED', `The header Idempotency-Key ${problem}.`, {
    fields: [{ in: 'headers', field: 'idempotency-key', problem }],
  })
}
