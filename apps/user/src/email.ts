import { AppError } from '@wattle/contracts'

/**
 * The one spelling of an address under which an account is kept: trimmed, Unicode NFC, lower case. Throws
 * VALIDATION_FAILED for blanks and control characters inside.
 */
export function normalizeEmail(text: string): string {
  const email = text.trim().normalize('NFC').toLowerCase()
  // eslint-disable-next-line no-control-regex
  if (/[\s\p{Cc}\p{Cf}]/u.test(email) || !/^[^@]+@[^@]+$/.test(email)) {
    const problem = 'must be an e-mail address'
    throw new AppError('VALIDATION_FAILED', `body.email ${problem}.`, {
      fields: [{ in: 'body', field: 'email', problem }],
    })
  }
  return email
}
