import { AppError, userRoutes } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { addRoute, setCacheHeaders } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import type { UserCache } from './cache.ts'
import { changeProfile, readProfile } from './profile-store.ts'
import type { DB } from './schema.ts'

export type PersonDeps = { readonly database: Database<DB>; readonly cache: UserCache }

/** A person's own profile. */
export function addProfileRoutes(app: FastifyInstance, { database, cache }: PersonDeps): void {
  addRoute(app, userRoutes.getMe, async ({ user, reply }) => {
    const read = await cache.profile.read(user.userId)
    if (read.value === undefined) return noAccount()
    setCacheHeaders(reply, read)
    return read.value
  })

  // Writes are not cut off by the deadline: one that is cut off at its end may have happened all the same.
  addRoute(app, userRoutes.updateMe, async ({ user: { userId }, body }) => {
    const { version, ...change } = body
    requireChange(change)
    const changed = await cache.write('profile.changed', { userId }, (queries) =>
      changeProfile(queries, userId, change, version),
    )
    return changed ?? notChanged(await readProfile(database, userId))
  })
}

/** The account of a good token was deleted meanwhile. */
export function noAccount(): never {
  throw new AppError('UNAUTHENTICATED', 'This account does not exist any more.')
}

/** Refuses a change that names only the version. */
export function requireChange(change: object): void {
  if (Object.keys(change).length > 0) return
  const problem = 'names no field to change'
  throw new AppError('VALIDATION_FAILED', `The body ${problem}.`, {
    fields: [{ in: 'body', field: '', problem }],
  })
}

/** Says why nothing was changed: another version, which is named, or no account. */
export function notChanged(present: { version: number } | undefined): never {
  if (present === undefined) return noAccount()
  throw new AppError(
    'VERSION_CONFLICT',
    `The present version is ${present.version}; read it again and repeat your change.`,
  )
}
