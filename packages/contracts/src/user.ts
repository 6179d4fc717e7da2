import { Type, type Static } from 'typebox'
import { idSchema } from './ids.ts'
import { defineRoute } from './route.ts'
import { Timestamp } from './time.ts'

const closed = { additionalProperties: false }

export const Email = Type.String({
  format: 'email',
  minLength: 3,
  maxLength: 254,
  description: 'An e-mail address; case does not matter',
})
const Name = Type.String({
  minLength: 1,
  maxLength: 100,
  pattern: '^(?=.*\\S)[^\\u0000-\\u001f\\u007f]+$',
  description: 'Not blank, without control characters',
})
/** A version fits PostgreSQL's int4. */
const Version = Type.Integer({
  minimum: 1,
  maximum: 2_147_483_647,
  description: 'Grows with each change',
})

export const Language = Type.Enum(['en', 'ha', 'ig', 'yo'])

/** A person's own view of their account. */
export const Profile = Type.Object({
  id: idSchema('usr'),
  email: Email,
  name: Name,
  phone: Type.Union([Type.String(), Type.Null()]),
  version: Version,
  createdAt: Timestamp,
  updatedAt: Timestamp,
})
export type Profile = Static<typeof Profile>

/** How a person wants to be addressed and told. */
export const Preferences = Type.Object({
  language: Language,
  emailNotifications: Type.Boolean(),
  smsNotifications: Type.Boolean(),
  dueReminderDays: Type.Integer({
    minimum: 0,
    maximum: 30,
    description: 'Days before the due date; 0 means never',
  }),
  version: Version,
  updatedAt: Timestamp,
})
export type Preferences = Static<typeof Preferences>

const Phone = Type.String({
  pattern: '^\\+[1-9][0-9]{6,14}$',
  description: 'E.164, such as +2348012345678',
})

export const Password = Type.String({
  minLength: 10,
  maxLength: 128,
  description: 'At least 10 characters',
})
/** 256 random bits. */
export const OpaqueToken = Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' })
/** Shows at the next login that this device has been logged in before. */
export const DeviceToken = Type.String({ pattern: '^[A-Za-z0-9_-]{64}$' })
export const SessionName = Type.String({
  minLength: 1,
  maxLength: 60,
  pattern: '^(?=.*\\S)[^\\u0000-\\u001f\\u007f]+$',
  description: 'Not blank, without control characters',
})

/** What a login and a refresh answer. */
export const Tokens = Type.Object({
  accessToken: Type.String(),
  tokenType: Type.Literal('Bearer'),
  expiresIn: Type.Integer({ description: 'Seconds that the access token is valid' }),
  refreshToken: Type.String({
    description: 'Good for one refresh; keep it where scripts cannot read it',
  }),
  sessionId: idSchema('ses'),
  freshLoginAt: Type.String({
    format: 'date-time',
    description: 'From then on only a login helps',
  }),
  freshLoginSoon: Type.Boolean({ description: 'That is less than seven days away' }),
})
export type Tokens = Static<typeof Tokens>

export const userRoutes = {
  register: defineRoute({
    name: 'register',
    method: 'POST',
    path: '/auth/register',
    summary: 'Open an account',
    auth: 'public',
    body: Type.Object(
      {
        email: Email,
        password: Password,
        name: Name,
        phone: Type.Optional(Phone),
      },
      closed,
    ),
    replies: { 201: Profile },
    errors: ['EMAIL_TAKEN', 'TOO_MANY_REQUESTS'],
  }),
  login: defineRoute({
    name: 'login',
    method: 'POST',
    path: '/auth/login',
    summary: 'Exchange e-mail address and password for the tokens of a new session',
    auth: 'public',
    body: Type.Object(
      {
        email: Email,
        password: Type.String({ minLength: 1, maxLength: 128 }),
        deviceToken: Type.Optional(DeviceToken),
        sessionName: Type.Optional(SessionName),
      },
      closed,
    ),
    replies: {
      200: Type.Object({
        ...Tokens.properties,
        deviceToken: Type.String({
          description:
            'Send it at the next login: a known device is not locked out with its network',
        }),
      }),
    },
    errors: ['INVALID_CREDENTIALS', 'TOO_MANY_REQUESTS'],
  }),
  getMe: defineRoute({
    name: 'getMe',
    method: 'GET',
    path: '/me',
    summary: 'Your profile',
    auth: 'user',
    replies: { 200: Profile },
  }),
  updateMe: defineRoute({
    name: 'updateMe',
    method: 'PATCH',
    path: '/me',
    summary: 'Change your profile',
    auth: 'user',
    body: Type.Object(
      {
        name: Type.Optional(Name),
        phone: Type.Optional(Type.Union([Phone, Type.Null()])),
        version: Type.Optional(
          Type.Integer({
            ...Version,
            description: 'Refuse the change when the profile has another version',
          }),
        ),
      },
      { ...closed, minProperties: 1 },
    ),
    replies: { 200: Profile },
    errors: ['VERSION_CONFLICT'],
  }),
  getPreferences: defineRoute({
    name: 'getPreferences',
    method: 'GET',
    path: '/me/preferences',
    summary: 'Your preferences',
    auth: 'user',
    replies: { 200: Preferences },
  }),
  updatePreferences: defineRoute({
    name: 'updatePreferences',
    method: 'PATCH',
    path: '/me/preferences',
    summary: 'Change your preferences',
    auth: 'user',
    body: Type.Object(
      {
        language: Type.Optional(Language),
        emailNotifications: Type.Optional(Type.Boolean()),
        smsNotifications: Type.Optional(Type.Boolean()),
        dueReminderDays: Type.Optional(Type.Integer({ minimum: 0, maximum: 30 })),
        version: Type.Optional(Version),
      },
      { ...closed, minProperties: 1 },
    ),
    replies: { 200: Preferences },
    errors: ['VERSION_CONFLICT'],
  }),
} as const
