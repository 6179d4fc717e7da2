import { userRoutes } from '@wattle/contracts'
import { addRoute, setCacheHeaders } from '@wattle/service'
import type { FastifyInstance } from 'fastify'
import { changePreferences, readPreferences } from './preferences-store.ts'
import { noAccount, notChanged, requireChange, type PersonDeps } from './profile.ts'

/** How a person wants to be addressed and told. */
export function addPreferencesRoutes(app: FastifyInstance, { database, cache }: PersonDeps): void {
  addRoute(app, userRoutes.getPreferences, async ({ user, reply }) => {
    const read = await cache.preferences.read(user.userId)
    if (read.value === undefined) return noAccount()
    setCacheHeaders(reply, read)
    return read.value
  })

  addRoute(app, userRoutes.updatePreferences, async ({ user: { userId }, body }) => {
    const { version, ...change } = body
    requireChange(change)
    const changed = await cache.write('preferences.changed', { userId }, (queries) =>
      changePreferences(queries, userId, change, version),
    )
    return changed ?? notChanged(await readPreferences(database, userId))
  })
}
