import { userRoutes } from '@wattle/contracts'
import { addRoute } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import { replyFromCache } from './cache-headers.ts'
import { changePreferences, readPreferences } from './preferences-store.ts'
import { noAccount, requireChange, versionConflict, type PersonDeps } from './profile.ts'

/** How a person wants to be addressed and told. */
export function addPreferencesRoutes(app: FastifyInstance, deps: PersonDeps): void {
  const { database, cache, plan } = deps

  addRoute(app, userRoutes.getPreferences, async ({ user, reply }) => {
    const preferences = await replyFromCache(reply, plan.preferences.read(user.userId))
    return preferences ?? noAccount()
  })

  addRoute(app, userRoutes.updatePreferences, async ({ user, body, request }) => {
    const { version, ...change } = body
    requireChange(change)
    const queries = database.within(request.deadline.signal)
    const changed = await changePreferences(queries, user.userId, change, version)
    if (changed === undefined) {
      return versionConflict(await readPreferences(queries, user.userId))
    }
    await cache.invalidate([plan.preferences.ref(user.userId)])
    return changed
  })
}
