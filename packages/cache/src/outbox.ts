import type { Cache } from './cache.ts'
import type { Ref } from './refs.ts'
import type { Log } from './space.ts'

/** Runs one SQL statement, with `$1` for the first value; on a connection of the pool, or in a transaction. */
export type SqlQuery = (
  sql: string,
  values: readonly unknown[],
) => Promise<readonly Record<string, unknown>[]>

/** The table, for a service's migrations: copy it there under the next number. */
export const outboxMigration = new URL('../migrations/cache_invalidations.sql', import.meta.url)

export type Outbox = {
  /**
   * Runs a write. In its transaction it calls `invalidates` with what it changes; that is stored with the write, and
   * invalidated when `work` ends, be it well or not (a connection lost at the commit leaves open whether it happened).
   *
   *     await outbox.write((invalidates) =>
   *       database.transaction(async (trx) => {
   *         await rename(trx, userId, name)
   *         await invalidates(queryOf(trx), [plan.profile.ref(userId)])
   *       }))
   */
  write<T>(
    work: (invalidates: (query: SqlQuery, refs: readonly Ref[]) => Promise<void>) => Promise<T>,
  ): Promise<T>
  /**
   * The same for a write that somebody else commits, such as the handler of an event: stores what it invalidates, and
   * returns what executes that, to be called after the commit. Where nobody does, the sweep of some process will.
   */
  store(query: SqlQuery, refs: readonly Ref[]): Promise<() => Promise<void>>
  /** Invalidates what is stored and was not, by a dead process or in a lost history. How many rows. Runs by itself every second. */
  sweep(): Promise<number>
  /** Ends the sweeping; resolves when nothing of it runs any more. */
  stop(): Promise<void>
}

const everyMs = 1_000
/** Rows younger than this belong to a process that is at it. */
const lateSeconds = 1
/** Longer than any tail of history that a failover can lose. */
const keptSeconds = 60
const mostAtOnce = 200

/**
 * Makes invalidations follow from commits, whatever dies in between. In a healthy service a row costs its insertion, an
 * update that names the history which executed it, and its removal a minute later, both done for many at once.
 *
 * After a failover the history is another one: every row of the last minute is invalidated again, by whichever process
 * comes first, for the new master may not have it, and its author may be gone.
 */
export function createOutbox({
  cache,
  query,
  log,
}: {
  cache: Pick<Cache, 'invalidate' | 'history' | 'encodeRefs' | 'decodeRefs'>
  query: SqlQuery
  log: Log
}): Outbox {
  let executed: { id: unknown; history: string }[] = []
  let sweeping: Promise<number> | undefined
  let stopped = false

  async function note(): Promise<void> {
    const batch = executed
    executed = []
    const byHistory = Map.groupBy(batch, ({ history }) => history)
    for (const [history, rows] of byHistory) {
      const ids = rows.map(({ id }) => id)
      await query('update cache_invalidations set history = $1 where id = any($2)', [history, ids])
    }
  }

  async function sweepOnce(): Promise<number> {
    await note()
    const { history } = cache
    // Before Redis is known there is nothing to compare with.
    if (history === undefined) return 0
    const rows = await query(
      `select id, refs from cache_invalidations
       where history is distinct from $1 and created_at < now() - make_interval(secs => $2)
       order by id limit $3 for update skip locked`,
      [history, lateSeconds, mostAtOnce],
    )
    let done = 0
    for (const row of rows) {
      const before = cache.history
      const { outcome } = await cache.invalidate(cache.decodeRefs(String(row['refs'])))
      if (outcome === 'deferred' || before === undefined || before !== cache.history) break
      executed.push({ id: row['id'], history: before })
      done++
    }
    await note()
    await query(
      `delete from cache_invalidations
       where history = $1 and created_at < now() - make_interval(secs => $2)`,
      [history, keptSeconds],
    )
    if (done > 0) log.info({ rows: done }, 'invalidations were made up for')
    return done
  }

  function sweep(): Promise<number> {
    sweeping ??= sweepOnce().finally(() => {
      sweeping = undefined
    })
    return sweeping
  }

  let failing = false
  const timer = setInterval(() => {
    if (sweeping || stopped) return
    sweep().then(
      () => {
        failing = false
      },
      (cause: unknown) => {
        if (!failing) log.warn({ err: cause }, 'the outbox of invalidations cannot be read')
        failing = true
      },
    )
  }, everyMs)
  timer.unref()

  async function insert(inTransaction: SqlQuery, refs: readonly Ref[]): Promise<unknown> {
    const statement = 'insert into cache_invalidations (refs) values ($1) returning id'
    const [row] = await inTransaction(statement, [cache.encodeRefs(refs)])
    return row?.['id']
  }

  async function execute(refs: readonly Ref[], ids: readonly unknown[]): Promise<void> {
    const before = cache.history
    const { outcome } = await cache.invalidate(refs)
    if (outcome === 'applied' && before !== undefined && before === cache.history) {
      executed.push(...ids.map((id) => ({ id, history: before })))
    }
  }

  return {
    async write(work) {
      const refs: Ref[] = []
      const ids: unknown[] = []
      try {
        return await work(async (inTransaction, named) => {
          refs.push(...named)
          ids.push(await insert(inTransaction, named))
        })
      } finally {
        await execute(refs, ids)
      }
    },
    async store(inTransaction, refs) {
      const id = await insert(inTransaction, refs)
      return () => execute(refs, [id])
    },
    sweep,
    async stop() {
      stopped = true
      clearInterval(timer)
      await sweeping?.catch(() => 0)
      await note().catch(() => {})
    },
  }
}
