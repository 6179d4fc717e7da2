import { Type, type Static } from 'typebox'
import { idSchema } from './ids.ts'
import { defineRoute } from './route.ts'
import { Timestamp } from './time.ts'
import { OpaqueToken, SessionName, Tokens } from './user.ts'

const closed = { additionalProperties: false }
const ofSession = Type.Object({ sessionId: idSchema('ses') }, closed)
const nothing = Type.Null()

/** One place where a person is logged in. */
export const Session = Type.Object({
  id: idSchema('ses'),
  name: Type.Union([Type.String(), Type.Null()], { description: 'Given by the person' }),
  device: Type.String({
    description: 'What the browser or program calls itself: Firefox on Linux',
  }),
  address: Type.String({ description: 'Where it was seen last' }),
  country: Type.Union([Type.String(), Type.Null()], { description: 'Of that address, if known' }),
  firstSeenAt: Timestamp,
  lastSeenAt: Type.String({ format: 'date-time', description: 'To the minute' }),
  expiresAt: Type.String({ format: 'date-time', description: 'If it is not used before' }),
  freshLoginAt: Type.String({
    format: 'date-time',
    description: 'The end of it, however it is used',
  }),
})
export type Session = Static<typeof Session>

const OwnSession = Type.Object({
  ...Session.properties,
  current: Type.Boolean({ description: 'The one that asks' }),
})

/** Something that happened to an account or to what guards it. */
export const SecurityEvent = Type.Object({
  id: idSchema('sev'),
  type: Type.String({ description: 'login.succeeded, token.reuse_detected, password.changed, …' }),
  severity: Type.Enum(['info', 'warning', 'critical']),
  at: Timestamp,
  sessionId: Type.Union([idSchema('ses'), Type.Null()]),
  device: Type.Union([Type.String(), Type.Null()]),
  address: Type.Union([Type.String(), Type.Null()]),
  country: Type.Union([Type.String(), Type.Null()]),
  detail: Type.Union([Type.String(), Type.Null()]),
})
export type SecurityEvent = Static<typeof SecurityEvent>

export const SecurityEventPage = Type.Object({
  items: Type.Array(SecurityEvent),
  nextCursor: Type.Union([Type.String(), Type.Null()]),
})
export type SecurityEventPage = Static<typeof SecurityEventPage>

export const PageQuery = Type.Object(
  {
    limit: Type.Integer({ minimum: 1, maximum: 100, default: 50 }),
    cursor: Type.Optional(
      Type.String({ maxLength: 200, description: 'nextCursor of the page before' }),
    ),
  },
  closed,
)

export const sessionRoutes = {
  refresh: defineRoute({
    name: 'refresh',
    method: 'POST',
    path: '/auth/refresh',
    summary: 'Exchange a refresh token for new tokens; it is spent by that',
    auth: 'public',
    body: Type.Object({ refreshToken: OpaqueToken }, closed),
    replies: { 200: Tokens },
    errors: ['REFRESH_TOKEN_INVALID', 'FRESH_LOGIN_REQUIRED'],
  }),
  logout: defineRoute({
    name: 'logout',
    method: 'POST',
    path: '/auth/logout',
    summary: 'End the session that asks',
    auth: 'user',
    replies: { 204: nothing },
  }),
  getCurrentSession: defineRoute({
    name: 'getCurrentSession',
    method: 'GET',
    path: '/me/session',
    summary: 'The session that asks; 401 once it has ended, by the database and no cache',
    auth: 'user',
    deadlineMs: 2_000,
    replies: { 200: OwnSession },
  }),
  listSessions: defineRoute({
    name: 'listSessions',
    method: 'GET',
    path: '/me/sessions',
    summary: 'Where you are logged in',
    auth: 'user',
    replies: { 200: Type.Object({ items: Type.Array(OwnSession) }) },
  }),
  nameSession: defineRoute({
    name: 'nameSession',
    method: 'PATCH',
    path: '/me/sessions/:sessionId',
    summary: 'Give one of your sessions a name',
    auth: 'user',
    params: ofSession,
    body: Type.Object({ name: Type.Union([SessionName, Type.Null()]) }, closed),
    replies: { 200: OwnSession },
    errors: ['NOT_FOUND'],
  }),
  endSession: defineRoute({
    name: 'endSession',
    method: 'DELETE',
    path: '/me/sessions/:sessionId',
    summary: 'End one of your sessions',
    auth: 'user',
    params: ofSession,
    replies: { 204: nothing },
    errors: ['NOT_FOUND'],
  }),
  endOtherSessions: defineRoute({
    name: 'endOtherSessions',
    method: 'DELETE',
    path: '/me/sessions',
    summary: 'End all of your sessions but the one that asks',
    auth: 'user',
    replies: { 200: Type.Object({ ended: Type.Integer() }) },
  }),
  listSecurityEvents: defineRoute({
    name: 'listSecurityEvents',
    method: 'GET',
    path: '/me/security-events',
    summary: 'What happened to your account, newest first',
    auth: 'user',
    query: PageQuery,
    replies: { 200: SecurityEventPage },
  }),
} as const
