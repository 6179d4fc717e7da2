import type { Cache } from '@wattle/cache'
import { AppError, userRoutes } from '@wattle/contracts'
import type { Database } from '@wattle/database'
import { addRoute } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import type { CachePlan } from './cache.ts'
import { replyFromCache } from './cache-headers.ts'
import { changeProfile, readProfile } from './profile-store.ts'
import type { DB } from './schema.ts'

export type PersonDeps = {
  readonly database: Database<DB>
  readonly cache: Cache
  readonly plan: CachePlan
}

/** A person's own profile. */
export function addProfileRoutes(app: FastifyInstance, deps: PersonDeps): void {
  const { database, cache, plan } = deps

  addRoute(app, userRoutes.getMe, async ({ user, reply }) => {
    const profile = await replyFromCache(reply, plan.profile.read(user.userId))
    return profile ?? noAccount()
  })

  addRoute(app, userRoutes.updateMe, async ({ user, body, request }) => {
    const { version, ...change } = body
    requireChange(change)
    const queries = database.within(request.deadline.signal)
    const changed = await changeProfile(queries, user.userId, change, version)
    if (changed === undefined) {
      return versionConflict(await readProfile(queries, user.userId))
    }
    
    return changed
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
export function versionConflict(present: { version: number } | undefined): never {
  if (present === undefined) return noAccount()
  throw new AppError(
    'VERSION_CONFLICT',
    `The present version is ${present.version}; read it again and repeat your change.`,
  )
}
