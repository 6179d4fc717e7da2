import type { Database } from '@wattle/database'
import type { RevocationLog } from '@wattle/identity'
import type { DB } from '../schema.ts'

/** The table `revocations` as the publisher wants it. */
export function revocationLog({
  database,
  now,
}: {
  database: Database<DB>
  now: () => number
}): RevocationLog {
  return {
    async unpublished(epoch, limit, after) {
      let query = database.kysely
        .selectFrom('revocations')
        .select(['sequence', 'id', 'issued_before', 'expires_at'])
        .where('expires_at', '>', new Date(now()))
        .where('sequence', '>', after)
      if (epoch !== undefined) query = query.where('published_epoch', 'is distinct from', epoch)
      const rows = await query.orderBy('sequence').limit(limit).execute()
      return rows.map(({ sequence, id, issued_before: issuedBefore, expires_at: expiresAt }) => ({
        sequence,
        id,
        untilMs: expiresAt.getTime(),
        ...(issuedBefore === null ? {} : { issuedBeforeMs: issuedBefore.getTime() }),
      }))
    },
    async markPublished(sequences, epoch) {
      await database.kysely
        .updateTable('revocations')
        .set({ published_epoch: epoch })
        .where('sequence', 'in', [...sequences, -1])
        .execute()
    },
  }
}
