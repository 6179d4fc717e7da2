import { Type, type Static } from 'typebox'
import { idSchema } from './ids.ts'
import { defineRoute } from './route.ts'
import { PageQuery, SecurityEventPage, Session } from './session.ts'

const closed = { additionalProperties: false }
const ofUser = Type.Object({ userId: idSchema('usr') }, closed)
const nothing = Type.Null()

/** Of the whole platform, at this moment. */
export const SessionStatistics = Type.Object({
  active: Type.Integer({ description: 'Sessions that are neither ended nor expired' }),
  total: Type.Integer({ description: 'Sessions on record, ended ones for 30 days' }),
  families: Type.Integer({ description: 'Families of refresh tokens that can still be refreshed' }),
  refreshTokensIssued: Type.Integer({ description: 'Of the sessions on record' }),
  revoked: Type.Integer({ description: 'Revocations that still matter' }),
  reuseDetected: Type.Integer({ description: 'In the last 30 days' }),
})
export type SessionStatistics = Static<typeof SessionStatistics>

/** Seeing and ending the sessions of others. */
export const operatorRoutes = {
  listUserSessions: defineRoute({
    name: 'listUserSessions',
    method: 'GET',
    path: '/operator/users/:userId/sessions',
    summary: 'Where a person is logged in',
    auth: 'operator',
    params: ofUser,
    replies: { 200: Type.Object({ items: Type.Array(Session) }) },
  }),
  endUserSessions: defineRoute({
    name: 'endUserSessions',
    method: 'DELETE',
    path: '/operator/users/:userId/sessions',
    summary: 'End every session of a person',
    auth: 'operator',
    whenUnknown: 'closed',
    params: ofUser,
    replies: { 200: Type.Object({ ended: Type.Integer() }) },
    errors: ['NOT_FOUND'],
  }),
  setUserStatus: defineRoute({
    name: 'setUserStatus',
    method: 'PUT',
    path: '/operator/users/:userId/status',
    summary: 'Disable an account, which ends its sessions, or enable it again',
    auth: 'operator',
    whenUnknown: 'closed',
    params: ofUser,
    body: Type.Object({ status: Type.Enum(['active', 'disabled']) }, closed),
    replies: { 204: nothing },
    errors: ['NOT_FOUND'],
  }),
  listUserSecurityEvents: defineRoute({
    name: 'listUserSecurityEvents',
    method: 'GET',
    path: '/operator/users/:userId/security-events',
    summary: 'What happened to the account of a person, newest first',
    auth: 'operator',
    params: ofUser,
    query: PageQuery,
    replies: { 200: SecurityEventPage },
  }),
  revoke: defineRoute({
    name: 'revoke',
    method: 'POST',
    path: '/operator/revocations',
    summary: 'Revoke one access token, session or family by its id',
    auth: 'operator',
    whenUnknown: 'closed',
    body: Type.Object(
      {
        id: Type.String({
          pattern: '^(tok|ses|fam)_[0-9a-f-]{36}$',
          description: 'tok_…, ses_… or fam_…',
        }),
      },
      closed,
    ),
    replies: {
      200: Type.Object({
        published: Type.Boolean({ description: 'False: stored, and told to the gateways soon' }),
      }),
    },
    errors: ['NOT_FOUND'],
  }),
  sessionStatistics: defineRoute({
    name: 'sessionStatistics',
    method: 'GET',
    path: '/operator/sessions/statistics',
    summary: 'Sessions, tokens and revocations in figures',
    auth: 'operator',
    replies: { 200: SessionStatistics },
  }),
} as const
