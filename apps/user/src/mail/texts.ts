import type { Mail } from './mailer.ts'

/** What people are written. Plain text; a code is all that is secret in it. */
export const mailTexts = {
  verifyEmail: (to: string, code: string): Mail => ({
    to,
    subject: 'Your e-mail address at Wattle',
    text: `Prove that this address is yours with this code, within 24 hours:

${code}

POST /api/auth/email/verify {"code": "${code}"}

If you have not opened an account at Wattle, do nothing.
`,
  }),
  resetPassword: (to: string, code: string): Mail => ({
    to,
    subject: 'Another password for Wattle',
    text: `Set another password with this code, within 30 minutes:

${code}

POST /api/auth/password/reset {"code": "${code}", "password": "…"}

If you did not ask for this, do nothing: your password stays as it is.
`,
  }),
  passwordChanged: (to: string): Mail => ({
    to,
    subject: 'Your password at Wattle was changed',
    text: `The password of your account was changed, and you were logged out elsewhere.

If that was not you, reset it now: POST /api/auth/password/forgot
`,
  }),
}
