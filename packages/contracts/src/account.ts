import { Type } from 'typebox'
import { defineRoute } from './route.ts'
import { Email, OpaqueToken, Password } from './user.ts'

const closed = { additionalProperties: false }
const nothing = Type.Null()

/** Proving an e-mail address, and another password. */
export const accountRoutes = {
  verifyEmail: defineRoute({
    name: 'verifyEmail',
    method: 'POST',
    path: '/auth/email/verify',
    summary: 'Prove an e-mail address by the code that was sent to it',
    auth: 'public',
    body: Type.Object({ code: OpaqueToken }, closed),
    replies: { 204: nothing },
    errors: ['ONE_TIME_TOKEN_INVALID'],
  }),
  sendVerification: defineRoute({
    name: 'sendVerification',
    method: 'POST',
    path: '/me/email/verification',
    summary: 'Send a new code to your e-mail address; earlier ones end',
    auth: 'user',
    replies: { 204: nothing },
    errors: ['TOO_MANY_REQUESTS'],
  }),
  forgotPassword: defineRoute({
    name: 'forgotPassword',
    method: 'POST',
    path: '/auth/password/forgot',
    summary:
      'Send a code for another password, if somebody has this address; the answer never tells',
    auth: 'public',
    body: Type.Object({ email: Email }, closed),
    replies: { 204: nothing },
  }),
  resetPassword: defineRoute({
    name: 'resetPassword',
    method: 'POST',
    path: '/auth/password/reset',
    summary: 'Set another password by a code that was sent; ends every session',
    auth: 'public',
    body: Type.Object({ code: OpaqueToken, password: Password }, closed),
    replies: { 204: nothing },
    errors: ['ONE_TIME_TOKEN_INVALID', 'TOO_MANY_REQUESTS'],
  }),
  changePassword: defineRoute({
    name: 'changePassword',
    method: 'POST',
    path: '/me/password',
    summary: 'Change your password; ends every other session',
    auth: 'user',
    whenUnknown: 'closed',
    body: Type.Object(
      { currentPassword: Type.String({ minLength: 1, maxLength: 128 }), newPassword: Password },
      closed,
    ),
    replies: { 204: nothing },
    errors: ['INVALID_CREDENTIALS', 'TOO_MANY_REQUESTS'],
  }),
} as const
